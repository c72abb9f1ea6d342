"""Runs of the tiny study, what they come to in one process, and what is left of processes."""

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mtlbench.config import ResourcesConfig, load_study
from mtlbench.records import RunFolder
from mtlbench.study.cells import expand
from mtlbench.study.data import load_data
from mtlbench.study.design import build_design
from mtlbench.study.executors.local import LocalExecutor
from mtlbench.training.run import Task

RESULT = ("config.json", "history.csv", "predictions.csv", "model.safetensors")
LONG = 100_000
"""Epochs of a run that does not end by itself: what is gone was ended."""
DRIVER = """
import pickle, sys
from pathlib import Path
from mtlbench.study.executors import EXECUTORS
name, folder, task, resources = pickle.loads(Path(sys.argv[1]).read_bytes())
executor = EXECUTORS[name]([("cpu",)], resources, folder)
executor.submit(task)
while True:
    print(executor.wait(1), flush=True)
"""


class Runs:
    """Tasks of the tiny study; the same ones wherever `folder` is."""

    def __init__(self, text, root):
        file = root / "tiny.toml"
        file.write_text(text)
        study = load_study(file)
        data = load_data(study, {})
        design = build_design(study, expand(study), data)
        self.alone = [run for run in design.runs.values() if run.starts_from is None]
        self.prepared = data.prepared.root
        self.cases = root / "cases.csv"
        data.cases.to_csv(self.cases, index=False)

    def task(self, folder, index=0, epochs=2, **changes):
        """The task of the index-th run that starts from no other."""
        config = self.alone[index].config
        stages = [stage | {"epochs": epochs} for stage in config["stages"]]
        return Task(
            folder=folder / "runs" / self.alone[index].hash,
            prepared=self.prepared,
            cases=self.cases,
            config=config | {"stages": stages} | changes,
            devices=("cpu",),
            resources=ResourcesConfig(),
        )

    def broken(self, folder):
        """A run that raises: it starts from one that does not exist."""
        return self.task(folder, 1, starts_from="0" * 16)

    def local(self, folder, tasks):
        """What the local executor makes of the tasks."""
        executor = LocalExecutor([("cpu",)], ResourcesConfig(), folder)
        try:
            for task in tasks:
                executor.submit(task)
                assert [ended.reason for ended in until_ended(executor)] == [None]
        finally:
            executor.close()
        return outcome(folder)


@pytest.fixture(scope="session")
def runs(tmp_path_factory, tiny_study):
    root = tmp_path_factory.mktemp("executors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTLBENCH_CACHE", str(root / "cache"))
        return Runs(tiny_study, root)


@pytest.fixture(scope="session")
def expected(runs, tmp_path_factory):
    """Files of two short runs and of a longer one, as the local executor computes them."""
    folder = tmp_path_factory.mktemp("local")
    short = [runs.task(folder, index) for index in range(2)]
    return runs.local(folder, [*short, runs.task(folder, 3, epochs=40)])


def outcome(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in (folder / "runs").glob("*/*")
        if path.name in RESULT
    }


def until_ended(executor, count=1):
    ended, until = [], time.monotonic() + 300
    while len(ended) < count:
        assert time.monotonic() < until, f"only {ended} within 300 s"
        ended += executor.wait(0.5)
    return ended


def parent(pid):
    return int(_stat(pid)[1])


def alive(pids):
    """Those of the processes that have not ended (a zombie has)."""
    return {pid for pid in pids if (stat := _stat(pid)) and stat[0] != "Z"}


def descendants(pid):
    """Every process below this one."""
    below = {}
    for folder in Path("/proc").glob("[0-9]*"):
        if stat := _stat(folder.name):
            below.setdefault(int(stat[1]), set()).add(int(folder.name))
    found, waiting = set(), [pid]
    while waiting:
        children = below.get(waiting.pop(), set())
        found |= children
        waiting += children
    return found


def _stat(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


@pytest.fixture(scope="session")
def tools(wait_for):
    """The functions above: test files cannot import each other."""

    def until_computing(folder):
        """Wait until the run in the folder has ended an epoch; give its process."""
        wait_for(lambda: (folder / "history.csv").exists())
        return RunFolder(folder).record()["pid"]

    return SimpleNamespace(
        outcome=outcome, until_ended=until_ended, until_computing=until_computing,
        wait_for=wait_for, parent=parent, alive=alive, descendants=descendants, LONG=LONG,
    )  # fmt: skip


@pytest.fixture
def start_driver(tmp_path):
    """Start a process that has an executor of this name compute a task."""
    started = []

    def start(name, folder, task, resources=None, **environment):
        file = tmp_path / "driver.pickle"
        file.write_bytes(pickle.dumps((name, folder, task, resources or ResourcesConfig())))
        with (tmp_path / "driver.log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", DRIVER, file],
                stdout=log, stderr=log, env=os.environ | environment,
            )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
