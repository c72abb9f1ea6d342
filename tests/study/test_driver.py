import multiprocessing
import os
import socket

import pytest

from mtlbench.config import ResourcesConfig
from mtlbench.errors import BusyError
from mtlbench.records import RunFolder
from mtlbench.study import driver as driver_module
from mtlbench.study.driver import Driver, hold
from mtlbench.study.executors.base import Ended, Lost


class FakeExecutor:
    """Ends each run by a script: `ok`, an error's text, or `lost`."""

    def __init__(self, slots, script=None):
        self.slots = slots
        self.script = script or {}
        self.submitted = []
        self.pending = []

    def submit(self, task):
        assert len(self.pending) < self.slots
        start = task.config["starts_from"]
        assert start is None or RunFolder(task.folder.parent / start).state() == "complete"
        self.submitted.append(task.folder.name)
        self.pending.append(task)

    def events(self, timeout_s):
        task = self.pending.pop(0)
        name = task.folder.name
        outcome = self.script.get(name, ["ok"])
        outcome = outcome.pop(0) if outcome else "ok"
        folder = RunFolder(task.folder)
        if outcome == "ok":
            folder.write_record({"state": "complete", "files": {}, "validation": {}})
            return [Ended(name, None)]
        if outcome == "lost":
            folder.write_record({"state": "running"})
            return [Lost(name, "killed")]
        return [Ended(name, outcome)]

    def close(self):
        pass


class FakeStore:
    def __init__(self, names):
        self.waiting = list(enumerate(names))
        self.told = []

    def ask(self):
        return self.waiting.pop(0) if self.waiting else None

    def tell(self, number, name):
        self.told.append(name)


class Silence:
    def __getattr__(self, name):
        return lambda *args: None


class Nowhere:
    class prepared:
        root = None


def run(tmp_path, design, executor, names=None):
    store = FakeStore(names or list(design.runs))
    failures = Driver(
        tmp_path, design, Nowhere, store, executor, Silence(), ResourcesConfig()
    ).run()
    return failures, store


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_every_run_is_done_once_and_told(tmp_path, design_of, slots):
    design = design_of()
    executor = FakeExecutor(slots)
    failures, store = run(tmp_path, design, executor)
    assert failures == {}
    assert sorted(executor.submitted) == sorted(design.runs) == sorted(store.told)


def test_a_run_waits_for_the_one_it_starts_from_whatever_the_order(tmp_path, design_of):
    design = design_of()
    executor = FakeExecutor(2)
    failures, _ = run(tmp_path, design, executor, names=list(reversed(design.runs)))
    assert failures == {}
    assert sorted(executor.submitted) == sorted(design.runs)


def test_a_lost_run_is_started_again_and_given_up_after_three(tmp_path, design_of):
    design = design_of()
    first, second, *_ = design.runs
    executor = FakeExecutor(2, {first: ["lost", "lost"], second: ["lost"] * 9})
    failures, store = run(tmp_path, design, executor)
    assert executor.submitted.count(first) == 3
    assert executor.submitted.count(second) == driver_module.LOST_ATTEMPTS
    assert failures == {second: "killed, 3 times"}
    assert RunFolder(tmp_path / "runs" / second).state() == "failed"
    assert store.told.count(second) == 1


def test_a_run_that_raises_fails_with_those_that_start_from_it(tmp_path, design_of):
    design = design_of()
    last = list(design.runs)[-1]
    start = design.runs[last].starts_from
    failures, _ = run(tmp_path, design, FakeExecutor(2, {start: ["DivergedError: nan"]}))
    assert failures == {
        start: "DivergedError: nan",
        last: f"{start}, which it starts from, failed",
    }


def try_to_hold(folder, queue):
    try:
        with hold(folder):
            queue.put("held")
    except BusyError as error:
        queue.put(str(error))


def test_a_second_driver_is_refused_and_told_who_the_first_is(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with hold(tmp_path):
        other = context.Process(target=try_to_hold, args=(tmp_path, queue))
        other.start()
        answer = queue.get(timeout=60)
        other.join()
    assert f"pid {os.getpid()} on host {socket.gethostname()}" in answer
    with hold(tmp_path):
        pass
