"""SIGKILL to driver and workers at random moments: nothing is lost, nothing is done twice."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mtlbench.records import RunFolder

KILLS = int(os.environ.get("MTLBENCH_TEST_KILLS", "6"))
"""How many; the nightly count is 20."""
LONGER = ("epochs = 2", "epochs = 20")
CHECKPOINTS = ("[base.model]", "[resources]\ncheckpoint_steps = 2\n[base.model]")


def start(study, results, log):
    code = "from mtlbench.cli import main; main()"
    arguments = [
        "study",
        "run",
        str(study),
        "--results",
        str(results),
        "--device",
        "cpu",
        "--jobs",
        "2",
    ]
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=log, stderr=log, env=os.environ
    )


def children(pid):
    """Worker processes of a driver (not the resource tracker that multiprocessing starts)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            command = (stat.parent / "cmdline").read_text()
        except (OSError, ProcessLookupError):
            continue
        if parent == pid and "spawn_main" in command:
            found.append(int(stat.parent.name))
    return found


def finished(folder):
    """When each complete run was started."""
    runs = [RunFolder(path) for path in (folder / "runs").glob("*")]
    return {run.name: run.record()["started"] for run in runs if run.state() == "complete"}


def wait_until_busy(driver, folder):
    """Until a run is being computed, so that a kill falls into the work and not before it."""
    until = time.monotonic() + 120
    while time.monotonic() < until and driver.poll() is None:
        runs = [RunFolder(path) for path in (folder / "runs").glob("*")]
        if any(run.state() == "running" and alive(run.record()["pid"]) for run in runs):
            return
        time.sleep(0.1)


def alive(pid):
    return Path(f"/proc/{pid}").exists()


def outcome(folder):
    names = ("config.json", "history.csv", "predictions.csv", "model.safetensors", "panels.npz")
    files = [path for path in (folder / "runs").rglob("*") if path.name in names]
    files += [folder / "cells.csv", *(folder / "report").glob("*.csv"), folder / "report/table.md"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_study_survives_kills_of_driver_and_workers(study_file, tmp_path):
    rng = random.Random(0)
    study = study_file(LONGER, CHECKPOINTS)
    seen: dict[str, str] = {}
    workers_killed = 0
    with (tmp_path / "log").open("w") as log:
        driver = None
        for _ in range(KILLS):
            if driver is None or driver.poll() is not None:
                driver = start(study, tmp_path / "results", log)
            wait_until_busy(driver, tmp_path / "results" / "tiny")
            time.sleep(rng.uniform(0, 3))
            workers = children(driver.pid)
            if workers and rng.random() < 0.5:
                os.kill(rng.choice(workers), signal.SIGKILL)
                workers_killed += 1
            else:
                driver.kill()
                driver.wait()
            now = finished(tmp_path / "results" / "tiny")
            assert seen.items() <= now.items(), "a complete run was lost or done again"
            seen = now
        if driver.poll() is None:
            driver.kill()
            driver.wait()
        assert start(study, tmp_path / "results", log).wait(timeout=300) == 0
        assert start(study, tmp_path / "undisturbed", log).wait(timeout=300) == 0
    after = finished(tmp_path / "results" / "tiny")
    assert seen.items() <= after.items()
    assert len(after) == 8
    disturbed, undisturbed = (outcome(tmp_path / d / "tiny") for d in ("results", "undisturbed"))
    assert disturbed.keys() == undisturbed.keys()
    assert [name for name in disturbed if disturbed[name] != undisturbed[name]] == []
    print(f"{KILLS} kills, {workers_killed} of workers; {len(seen)} of 8 runs done by then")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_writes_checkpoints_and_the_next_start_goes_on(study_file, tmp_path, number):
    study, results = study_file(LONGER, ("seeds = [0, 1]", "seeds = [0]")), tmp_path / "results"
    with (tmp_path / "log").open("w") as log:
        driver = start(study, results, log)
        wait_for(lambda: list(results.glob("tiny/runs/*/history.csv")))
        driver.send_signal(number)
        assert driver.wait(timeout=30) == 75
        left = [path.parent for path in results.glob("tiny/runs/*/checkpoints.json")]
        assert left
        assert start(study, results, log).wait(timeout=300) == 0
    assert all(RunFolder(folder).record()["attempts"] == 2 for folder in left)
    assert list(results.glob("tiny/runs/*/checkpoint*")) == []
    with (tmp_path / "log").open("w") as log:
        assert start(study, tmp_path / "undisturbed", log).wait(timeout=300) == 0
    disturbed, undisturbed = (outcome(tmp_path / d / "tiny") for d in ("results", "undisturbed"))
    assert disturbed == undisturbed


def wait_for(condition):
    until = time.monotonic() + 120
    while time.monotonic() < until and not condition():
        time.sleep(0.05)
