"""Kills of driver, worker or all of it at random moments: nothing is lost, nothing done twice."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import pytest

from mtlbench.records import RunFolder, read_json

KILLS = int(os.environ.get("MTLBENCH_TEST_KILLS", "10"))
"""How many for each executor; `nox -s chaos` takes 200."""
LONGER = ("epochs = 2", "epochs = 10")
CHECKPOINTS = ("[base.model]", "[resources]\ncheckpoint_steps = 2\nretries = 9\n[base.model]")
RUNS = 8
HUNG = "hung_minutes = 0.2"
"""A process that lives may be silent for seconds on a busy machine."""
MANY = int(os.environ.get("MTLBENCH_TEST_RUNS", "40"))
"""Runs of the study of many runs; `nox -s chaos` takes 1,000."""
DRIVERS = 6
MARK = "MTLBENCH_TEST_MARK"
CODE = """
from mtlbench.report import builder
from mtlbench.cli import main
builder.draw_all = lambda *_, **__: []
main()
"""
"""A command without the figures of the report, which take longer than the study."""


class Crowd:
    """Everything that a study has started: processes that carry our mark in their environment.

    With the number of the driver that started them, from 1.
    """

    def __init__(self, **environment):
        self.mark = uuid.uuid4().hex
        self.drivers = 0
        self.environment = environment

    def start(self, study, results, log, *arguments):
        self.drivers += 1
        command = [sys.executable, "-c", CODE, "study", "run", str(study)]
        command += ["--results", str(results), "--device", "cpu", "--jobs", "2", *arguments]
        environment = os.environ | {MARK: f"{self.mark}.{self.drivers}."} | self.environment
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def pids(self, drivers=None):
        """Living processes: of these drivers, or of all."""
        drivers = range(1, self.drivers + 1) if drivers is None else drivers
        marks = [f"{MARK}={self.mark}.{driver}." for driver in drivers]
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                environment = path.read_bytes().decode(errors="replace")
                marked = any(mark in environment for mark in marks)
                zombie = "\nState:\tZ" in (path.parent / "status").read_text()
            except OSError:
                continue
            if marked and not zombie:
                found.append(int(path.parent.name))
        return found

    def kill(self):
        for pid in self.pids():
            kill(pid)


def kill(pid, number=signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def runs(folder):
    return [RunFolder(path) for path in (folder / "runs").glob("*")]


def finished(folder):
    """Of each complete run, when it was started and how often."""
    records = {run.name: run.record() for run in runs(folder) if run.state() == "complete"}
    return {name: (record["started"], record["attempts"]) for name, record in records.items()}


def computing(folder):
    """Processes that compute a run now."""
    return [run.record()["pid"] for run in runs(folder) if run.state() == "running"]


def stop_one(folder):
    """Stop a process while it computes a run; give that run and the pid, None where there is none.

    A run may end before the signal comes.
    """
    for run in runs(folder):
        if run.state() == "running":
            pid = run.record()["pid"]
            kill(pid, signal.SIGSTOP)
            if run.state() == "running":
                return run, pid
            kill(pid, signal.SIGCONT)
    return None


def outcome(folder):
    names = ("config.json", "history.csv", "predictions.csv", "model.safetensors", "panels.npz")
    files = [path for path in (folder / "runs").rglob("*") if path.name in names]
    files += [folder / "cells.csv", *(folder / "report").glob("*.csv"), folder / "report/table.md"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.is_file()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny_study):
    """What the study gives when nothing disturbs it, with the local executor."""
    home = tmp_path_factory.mktemp("undisturbed")
    text = tiny_study
    for old, new in (LONGER, CHECKPOINTS):
        text = text.replace(old, new)
    (home / "tiny.toml").write_text(text)
    with (home / "log").open("w") as log:
        assert Crowd().start(home / "tiny.toml", home, log).wait(timeout=400) == 0
    return outcome(home / "tiny")


@pytest.fixture
def temporary():
    """A folder for temporary files with a short path, as Ray wants it."""
    with tempfile.TemporaryDirectory(prefix="mtl", dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.parametrize("executor", ["local", "ray", "slurm"])
def test_a_study_survives_kills_of_driver_worker_and_all(
    study_file, tmp_path, executor, undisturbed, temporary, wait_for
):
    rng, crowd = random.Random(executor), Crowd(TMPDIR=str(temporary))
    extra = ("[resources]", '[resources]\nslurm = { cluster = "local" }')
    study = study_file(LONGER, CHECKPOINTS, *([extra] if executor == "slurm" else []))
    results = tmp_path / "results"
    folder, arguments = results / "tiny", ("--executor", executor)
    seen, kinds, driver = {}, [], None
    with (tmp_path / "log").open("w") as log:
        for _ in range(KILLS):
            if len(seen) == RUNS:  # kills go on with a new study
                check(folder, undisturbed, seen)
                results = tmp_path / f"results{len(kinds)}"
                folder, seen = results / "tiny", {}
            if driver is None or driver.poll() is not None:
                driver = crowd.start(study, results, log, *arguments)
            wait_for(lambda: computing(folder) or driver.poll() is not None)  # noqa: B023
            time.sleep(rng.uniform(0, 2))
            if executor != "slurm":  # whose jobs outlive their driver
                wait_for(lambda: not crowd.pids(range(1, crowd.drivers)))
            kind, workers = rng.choice(["driver", "worker", "all"]), computing(folder)
            kinds.append("driver" if kind == "worker" and not workers else kind)
            if kinds[-1] == "worker":
                kill(rng.choice(workers))
            elif kinds[-1] == "all":
                crowd.kill()
            else:
                driver.kill()
            if kinds[-1] != "worker":
                driver.wait()
            now = finished(folder)
            assert seen.items() <= now.items(), "a complete run was lost or done again"
            seen = now
        if driver.poll() is None:
            driver.kill()
            driver.wait()
        assert crowd.start(study, results, log, *arguments).wait(timeout=600) == 0
    check(folder, undisturbed, seen)
    wait_for(lambda: not crowd.pids())
    assert list(temporary.glob("mtlbench-ray*")) == []
    print(f"{executor}: {KILLS} kills, {', '.join(f'{kinds.count(k)} {k}' for k in set(kinds))}")


def check(folder, undisturbed, seen):
    """Every run once, what was done untouched, and all bytes as undisturbed."""
    assert seen.items() <= finished(folder).items()
    assert_same_runs(folder, undisturbed, RUNS)
    if (folder / "report").exists():
        disturbed = outcome(folder)
        assert disturbed.keys() == undisturbed.keys()
        assert [name for name in disturbed if disturbed[name] != undisturbed[name]] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_writes_checkpoints_and_the_next_start_goes_on(
    study_file, tmp_path, number, undisturbed, wait_for
):
    study, results, crowd = study_file(LONGER, CHECKPOINTS), tmp_path / "results", Crowd()
    with (tmp_path / "log").open("w") as log:
        driver = crowd.start(study, results, log)
        wait_for(lambda: list(results.glob("tiny/runs/*/history.csv")))
        driver.send_signal(number)
        assert driver.wait(timeout=300) == 75
        wait_for(lambda: not crowd.pids())  # multiprocessing's tracker sees the driver end
        left = [path.parent for path in results.glob("tiny/runs/*/checkpoints.json")]
        assert left
        assert crowd.start(study, results, log).wait(timeout=300) == 0
    assert all(RunFolder(folder).record()["attempts"] == 2 for folder in left)
    assert list(results.glob("tiny/runs/*/checkpoint*")) == []
    assert_same_runs(results / "tiny", undisturbed, RUNS)


def assert_same_runs(folder, undisturbed, count):
    """So many runs, their bytes those of the same runs of the undisturbed study."""
    found = {name: data for name, data in outcome(folder).items() if name.startswith("runs/")}
    assert len({name.split("/")[1] for name in found}) == len(finished(folder)) == count
    assert [name for name in found if found[name] != undisturbed[name]] == []


def test_a_stopped_worker_is_killed_and_its_run_done_again(
    study_file, tmp_path, undisturbed, wait_for
):
    hung = ("[resources]", f"[resources]\n{HUNG}")
    study, crowd = study_file(LONGER, CHECKPOINTS, hung), Crowd()
    with (tmp_path / "log").open("w") as log:
        driver = crowd.start(study, tmp_path, log)
        _, stopped = wait_for(lambda: stop_one(tmp_path / "tiny"))
        assert driver.wait(timeout=300) == 0
    assert not Path(f"/proc/{stopped}").exists()
    assert "no sign of life" in (tmp_path / "log").read_text()
    assert_same_runs(tmp_path / "tiny", undisturbed, RUNS)


def test_a_hung_job_of_a_killed_driver_is_killed_and_its_run_done_again(
    study_file, tmp_path, undisturbed, wait_for
):
    lines = f'[resources]\n{HUNG}\nslurm = {{ cluster = "local" }}'
    study = study_file(LONGER, CHECKPOINTS, ("[resources]", lines))
    crowd, arguments = Crowd(), ("--executor", "slurm", "--only", "cls")
    with (tmp_path / "log").open("w") as log:
        driver = crowd.start(study, tmp_path, log, *arguments)
        hung, stopped = wait_for(lambda: stop_one(tmp_path / "tiny"))
        driver.kill()
        driver.wait()
        assert hung.state() == "running"
        assert crowd.start(study, tmp_path, log, *arguments).wait(timeout=300) == 0
    assert not Path(f"/proc/{stopped}").exists()
    assert f"{hung.name}: no sign of life" in (tmp_path / "log").read_text()
    assert hung.record()["attempts"] == 2
    assert_same_runs(tmp_path / "tiny", undisturbed, 2)


def test_a_stopped_worker_does_not_outlive_its_driver(study_file, tmp_path, wait_for):
    study, crowd = study_file(LONGER), Crowd()
    with (tmp_path / "log").open("w") as log:
        driver = crowd.start(study, tmp_path, log)
        wait_for(lambda: stop_one(tmp_path / "tiny"))
        driver.kill()
        driver.wait()
    wait_for(lambda: not crowd.pids())


def test_many_workers_do_each_of_many_runs_once(tmp_path, tiny_study):
    """8 workers, `MANY` runs: as many attempts as runs, none lost."""
    text = tiny_study.replace("epochs = 2", "steps = 1")
    text = text.replace("seeds = [0, 1]", f"seeds = {list(range(MANY // 4))}")
    (tmp_path / "tiny.toml").write_text(text)
    with (tmp_path / "log").open("w") as log:
        driver = Crowd().start(tmp_path / "tiny.toml", tmp_path, log, "--jobs", "8")
        assert driver.wait(timeout=3000) == 0
    records = [run.record() for run in runs(tmp_path / "tiny")]
    assert len(records) == MANY
    assert {(record["state"], record["attempts"]) for record in records} == {("complete", 1)}


def test_of_drivers_that_start_at_once_one_wins(study_file, tmp_path, undisturbed, wait_for):
    """On an empty cache too: all of them want to prepare the data.

    The winner is stopped until the others have answered, so that none comes after its end.
    """
    study, crowds = study_file(LONGER, CHECKPOINTS), [Crowd() for _ in range(DRIVERS)]
    named, drivers = tmp_path / "tiny" / "driver.json", {}
    for number, crowd in enumerate(crowds):
        with (tmp_path / f"log{number}").open("w") as log:
            driver = crowd.start(study, tmp_path, log, "--only", "cls")
            drivers[driver.pid] = driver, tmp_path / f"log{number}"
    wait_for(named.exists)
    winner = read_json(named)["pid"]
    os.kill(winner, signal.SIGSTOP)
    driver, _ = drivers.pop(winner)
    for other, log in drivers.values():
        assert other.wait(timeout=400) == 1
        assert f"is being driven by pid {winner} on host" in log.read_text()
    os.kill(winner, signal.SIGCONT)
    assert driver.wait(timeout=400) == 0
    assert_same_runs(tmp_path / "tiny", undisturbed, 2)
