import pytest
import torch

from mtlbench.bench.train import loop
from mtlbench.bench.train.loops import bare_loop, lightning_loop, our_loop
from mtlbench.bench.train.setting import Metered, Setting

CPU = torch.device("cpu")


@pytest.fixture
def short(monkeypatch):
    for name, size in {"STEPS": 4, "ROUNDS": 2}.items():
        monkeypatch.setattr(loop, name, size)


def test_our_loop_asks_hardly_more_than_a_bare_one_and_never_waits(short):
    by_id = {row.id: row for row in loop.loop_rows(CPU, peers=False)}
    assert set(by_id) == {"loop_ops", "loop_syncs", "loop_time"}
    assert 1 <= by_id["loop_ops"].value <= by_id["loop_ops"].bar == 1.05
    assert by_id["loop_syncs"].value == 0
    assert by_id["loop_time"].bar == 1.10
    assert by_id["loop_ops"].noise == by_id["loop_syncs"].noise == 0
    assert by_id["loop_time"].noise > 0


def test_a_wait_in_the_data_path_is_seen(setting, prepared):
    class Waiting(Metered):
        def train_batches(self, *arguments):
            for batch in super().train_batches(*arguments):
                batch.mask_BHW.max().item()
                yield batch

    assert loop.waits(setting, Metered(prepared, CPU, 2, 4)) == 0
    assert loop.waits(setting, Waiting(prepared, CPU, 2, 4)) == 1


class Kept(Setting):
    """Remembers the network that it gives, and a fixed learning rate."""

    nets: list = []  # noqa: RUF012

    def model(self):
        self.nets.append(super().model())
        return self.nets[-1]


@pytest.mark.parametrize("other", [bare_loop, lightning_loop])
def test_the_loops_do_the_same_work(monkeypatch, prepared, other):
    """With the same learning rate in all steps, the same weights."""
    if other is lightning_loop:
        pytest.importorskip("lightning")
    monkeypatch.setattr("mtlbench.training.loop.learning_rate", lambda step, total, optim: optim.lr)
    ready = Metered(prepared, CPU, 2, 4).make_ready()
    setting = Kept(CPU, "small", 8, prepared.images.shape[1:], 2)
    assert our_loop(setting, ready) == 0  # no gauge is read
    assert other(setting, ready) == 0
    ours, theirs = (net.state_dict() for net in setting.nets[-2:])
    fresh = Setting.model(setting).state_dict()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name])
    assert not torch.equal(fresh["s_net.weight"], ours["s_net.weight"])


def test_what_lightning_adds_is_the_measure_of_what_ours_adds(short, monkeypatch):
    """Steps of 10 ms in the bare loop; ours takes 1 ms more, Lightning's 8; 2 by noise."""
    bare = iter([0, 0, 0.010, 0.012, 0.012, 0.010])  # not timed at first; then from either side
    monkeypatch.setattr(loop, "bare_loop", lambda setting, ready: next(bare))
    monkeypatch.setattr(loop, "our_loop", lambda setting, ready: 0.011)
    monkeypatch.setattr(loop, "lightning_loop", lambda setting, ready: 0.018)
    ready = Metered.__new__(Metered)
    rows = loop._against_lightning(Setting(CPU, "small", 8, (32, 24), 2), ready)
    assert [row.value for row in rows] == pytest.approx([1, 8, 2])


def test_without_lightning_its_rows_are_empty(short, monkeypatch, capsys):
    def missing(setting, ready):
        raise ModuleNotFoundError("No module named 'lightning'")

    monkeypatch.setattr(loop, "lightning_loop", missing)
    values = {row.id: row.value for row in loop.loop_rows(CPU, peers=True)}
    assert values["loop_time"] > 0
    empty = [key for key, value in values.items() if value is None]
    assert empty == ["loop_added_ms", "lightning_added_ms", "bare_added_ms"]
    assert "loop_lightning is not measured: ModuleNotFoundError" in capsys.readouterr().err
