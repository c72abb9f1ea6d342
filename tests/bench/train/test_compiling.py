import subprocess

from mtlbench.bench.train import compiling
from mtlbench.bench.train.compiling import compile_rows


def test_both_processes_share_one_cache(monkeypatch, setting):
    caches = []

    def process(command, env, **options):
        caches.append(env["TORCHINDUCTOR_CACHE_DIR"])
        assert "first_step('cpu', 'small', 8, (48, 36), 2)" in command[-1]
        return subprocess.CompletedProcess(
            command, 0, stdout=f"a warning\n{(8.0, 2.0, 2.5)[len(caches) - 1]}\n"
        )

    monkeypatch.setattr(compiling.subprocess, "run", process)
    rows = compile_rows(setting)
    assert {row.id: row.value for row in rows} == {
        "compile_again": 0.25, "compile_cold": 8.0, "compile_warm": 2.0
    }  # fmt: skip
    assert rows[0].noise == 0.25
    assert caches == [caches[0]] * 3


def test_without_a_compiler_the_rows_are_empty(monkeypatch, setting, capsys):
    def fail(command, **options):
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(compiling.subprocess, "run", fail)
    assert [row.value for row in compile_rows(setting)] == [None] * 3
    assert "compile_again is not measured" in capsys.readouterr().err


def test_the_step_is_one_of_the_network_asked_for(monkeypatch, setting):
    """The process's own code, with a compiler that only notes what it was given."""
    seen = []

    def note(net, mode):
        seen.append((net, mode))
        return net

    monkeypatch.setattr(compiling, "compiled", note)
    seconds = compiling.first_step("cpu", "small", 8, setting.size, 2)
    assert seconds > 0
    ((net, mode),) = seen
    assert mode == "default"
    assert all(parameter.grad is not None for parameter in net.parameters())
