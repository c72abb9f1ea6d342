import os
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest

from mtlbench.config import ResourcesConfig
from mtlbench.errors import DiskError
from mtlbench.records import RunFolder, write_csv
from mtlbench.study.ablation import Ablation
from mtlbench.study.driver import Driver
from mtlbench.study.executors import Ended, Kind
from mtlbench.study.listeners import Listeners
from mtlbench.study.retry import forgive
from mtlbench.training import contact
from mtlbench.training.loop import HISTORY

RETRIES = ResourcesConfig().retries


class Stopped(BaseException):
    pass


def finish(folder):
    """Write a run that is complete."""
    (folder.path / "predictions.csv").write_text("score\n")
    files = folder.describe(["predictions.csv"])
    folder.write_record({"state": "complete", "files": files, "validation": {}})


class FakeExecutor:
    """Ends each run by a script: an error's text, or a word of those below; at the end `ok`.

    `lost 2` is lost after the second epoch; at `stop` the driver is.
    """

    def __init__(self, slots, script=None):
        self.slots = slots
        self.script = script or {}
        self.submitted = []
        self.pending = []
        self.killed = []

    def submit(self, task):
        assert len(self.pending) < self.slots
        start = task.config["starts_from"]
        assert start is None or RunFolder(task.folder.parent / start).state() == "complete"
        self.submitted.append(task.folder.name)
        self.pending.append(task)
        task.folder.mkdir(parents=True, exist_ok=True)

    def adopts(self, folder):
        return False

    def wait(self, timeout_s):
        if not self.pending:
            time.sleep(timeout_s)
            return []
        task = self.pending.pop(0)
        name = task.folder.name
        outcome = self.script[name].pop(0) if self.script.get(name) else "ok"
        folder = RunFolder(task.folder)
        before = folder.record()
        if outcome == "ok":
            finish(folder)
            return [Ended(name, None)]
        if outcome == "stop":
            raise Stopped
        if outcome.startswith("lost"):
            folder.write_record(before | {"state": "running"})
            rows = [{"epoch": n} for n in range(int(outcome.removeprefix("lost") or 0))]
            write_csv(task.folder / "history.csv", HISTORY, rows)
            return [Ended(name, "killed")]
        if outcome == "asked":
            folder.write_record(before | {"state": "running"})
            return [Ended(name, "asked to end", Kind.ASKED)]
        if outcome == "disk":
            folder.write_record(before | {"state": "running"})
            return [Ended(name, "somewhere must be writable, but: it is full", Kind.DISK)]
        if outcome == "busy":
            return [Ended(name, "somewhere: another process is doing this run", Kind.BUSY)]
        if outcome == "hang":
            (task.folder / contact.HEARTBEAT).touch()
            self.script[name].insert(0, "hanging")
            self.pending.append(task)
            return []
        if outcome == "hanging":
            if name not in self.killed:
                self.script[name].insert(0, "hanging")
                self.pending.append(task)
                return []
            return [Ended(name, "killed for silence")]
        failed = {"state": "failed", "error": outcome, "failures": before.get("failures", 0) + 1}
        folder.write_record(failed | {"final": outcome.startswith("Diverged")})
        return [Ended(name, outcome)]

    def kill(self, run):
        self.killed.append(run)

    def close(self):
        pass


class Attentive(FakeExecutor):
    """Leaves in a record what it was before."""

    def wait(self, timeout_s):
        folder = RunFolder(self.pending[0].folder)
        before = folder.record()
        ended = super().wait(timeout_s)
        folder.write_record(before | folder.record())
        return ended


class FakeStore:
    def __init__(self):
        self.told = []

    def begun(self, name):
        pass

    def ended(self, name):
        self.told.append(name)


class Silence:
    def __getattr__(self, name):
        return lambda *args: None


class Works(Silence):
    """Keeps how much there was to do at each end of a run."""

    def __init__(self):
        self.seen = []

    def ended(self, run, state, work):
        self.seen.append((work.done, work.total, work.failed))


class Notes(Silence):
    """Keeps the lines."""

    def __init__(self):
        self.lines = []

    def note(self, message):
        self.lines.append(message)


def run(folder, design, executor, store=None, resources=None, progress=None):
    resources = resources or ResourcesConfig()
    study = SimpleNamespace(resources=resources, compare=SimpleNamespace(choose=None))
    agenda = Ablation(design, folder, store or FakeStore(), study)
    driver = Driver(folder, folder, agenda, executor, Listeners(progress or Silence()), resources)
    return agenda.failures | driver.run()


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_every_run_is_done_once_and_told(tmp_path, design_of, slots):
    design, executor, store = design_of(), FakeExecutor(slots), FakeStore()
    assert run(tmp_path, design, executor, store) == {}
    assert sorted(executor.submitted) == sorted(design.runs) == sorted(store.told)
    again = FakeExecutor(slots)
    assert run(tmp_path, design, again) == {}
    assert again.submitted == []


def test_how_runs_are_computed_is_said_once_for_each_way(tmp_path, design_of):
    design = design_of()
    ways = [("resident on cuda:0: 1 GB", "off", "a"), ("resident on cuda:1: 2 GB", "off", "b")]
    ways += [("resident on cuda:0: 3 GB", "default", "c"), ("streamed to cuda:0", "default", "d")]
    for place, name in enumerate(design.runs):
        data, compile_, why = ways[place % 4]
        folder = RunFolder(tmp_path / "runs" / name)
        write_csv(folder.path / "history.csv", HISTORY, [{"stage": "x", "epoch": 1, "step": 1}])
        facts = {"data": data, "compile": compile_, "compile_why": why}
        folder.write_record({"state": "interrupted", **facts})
    notes = Notes()
    run(tmp_path, design, Attentive(1), progress=notes)
    assert notes.lines == [
        "data: resident on cuda:0: 1 GB; compile: off (a)",
        "data: resident on cuda:0: 3 GB; compile: default (c)",
        "data: streamed to cuda:0; compile: default (d)",
    ]


def test_a_full_disk_stops_the_study_and_fails_no_run(tmp_path, design_of):
    design = design_of()
    first, *_ = design.runs
    with pytest.raises(DiskError, match=r"^somewhere must be writable, but: it is full$"):
        run(tmp_path, design, FakeExecutor(1, {first: ["disk"]}))
    assert RunFolder(tmp_path / "runs" / first).record() == {"state": "running"}
    assert run(tmp_path, design, FakeExecutor(1)) == {}


def test_a_lost_run_is_started_again_and_given_up_when_it_keeps_dying(tmp_path, design_of):
    design = design_of()
    first, second, *_ = design.runs
    executor = FakeExecutor(2, {first: ["lost"] * RETRIES, second: ["lost"] * 9})
    failures = run(tmp_path, design, executor)
    assert executor.submitted.count(first) == executor.submitted.count(second) == RETRIES + 1
    assert failures == {second: f"killed, {RETRIES + 1} times"}
    assert RunFolder(tmp_path / "runs" / second).state() == "failed"
    again = FakeExecutor(2)
    assert run(tmp_path, design, again) == failures, "given up for good, over all starts"
    assert again.submitted == []


def test_deaths_are_counted_over_starts(tmp_path, design_of):
    design = design_of()
    first, *_ = design.runs
    with pytest.raises(Stopped):
        run(tmp_path, design, FakeExecutor(1, {first: ["lost"] * RETRIES + ["stop"]}))
    executor = FakeExecutor(1, {first: ["lost"]})
    assert run(tmp_path, design, executor) == {first: f"killed, {RETRIES + 1} times"}
    assert executor.submitted.count(first) == 1
    write_csv(tmp_path / "cells.csv", *design.cells_table())
    assert forgive(tmp_path) == [first]
    again = FakeExecutor(1, {first: ["lost"] * RETRIES})
    assert run(tmp_path, design, again) == {}


@pytest.mark.parametrize(
    "script",
    [
        ["asked", "lost"] * RETRIES + ["asked"],
        ["lost"] * RETRIES + ["lost 1"] * RETRIES + ["lost 3", "lost 2"],
        ["lost 2"] * RETRIES + ["lost 3", "stop"] + ["lost 2"] * (RETRIES - 1),
    ],
)
def test_a_run_that_is_asked_to_end_or_gets_further_is_not_given_up(tmp_path, design_of, script):
    """An epoch is progress once, also where a later attempt goes on from before it."""
    design = design_of()
    first, *_ = design.runs
    executor, failures = FakeExecutor(1, {first: list(script)}), {}
    while executor.script[first]:
        executor.pending.clear()
        with suppress(Stopped):
            failures |= run(tmp_path, design, executor)
    assert failures == {}
    assert executor.submitted.count(first) == len(script) + 1


def test_a_run_that_another_process_computes_has_not_died(tmp_path, design_of):
    design = design_of()
    first, *_ = design.runs
    executor = FakeExecutor(1, {first: ["lost"] * RETRIES + ["busy"] * 2})
    assert run(tmp_path, design, executor) == {}
    assert executor.submitted.count(first) == RETRIES + 3


def test_what_a_dead_driver_has_left_may_die_with_it(tmp_path, design_of, monkeypatch):
    monkeypatch.setattr("mtlbench.study.driver.POLL_S", 0.01)
    design = design_of()
    first, *_ = design.runs
    folder = RunFolder(tmp_path / "runs" / first)
    folder.path.mkdir(parents=True)
    folder.write_record({"state": "running", "deaths": {"times": RETRIES, "epochs": 0}})
    lock = folder.lock()
    lock.acquire()

    class Dying(FakeStore):
        """The process that computes the first run ends when another run has."""

        def ended(self, name):
            super().ended(name)
            lock.release()

    assert run(tmp_path, design, FakeExecutor(2), Dying()) == {}


@pytest.mark.parametrize("slots", [1, 3])
def test_a_run_that_raises_is_retried_and_then_fails_with_those_that_start_from_it(
    tmp_path, design_of, slots
):
    design = design_of()
    last = list(design.runs)[-1]
    start = design.runs[last].starts_from
    executor = FakeExecutor(slots, {start: ["ValueError: x"] * 9})
    failures = run(tmp_path, design, executor)
    assert executor.submitted.count(start) == RETRIES + 1
    assert last not in executor.submitted
    expected = {start: "ValueError: x", last: f"{start}, which it starts from, failed"}
    assert failures == expected
    again = FakeExecutor(slots)
    assert run(tmp_path, design, again) == expected, "given up for good, over all starts"
    assert again.submitted == []


def test_failures_are_counted_over_starts_and_what_would_fail_alike_is_not_tried(
    tmp_path, design_of
):
    design = design_of()
    first, second, *_ = design.runs
    script = {first: ["ValueError: x"] * RETRIES, second: ["DivergedError: nan"]}
    executor = FakeExecutor(2, script)
    assert run(tmp_path, design, executor) == {second: "DivergedError: nan"}
    assert executor.submitted.count(second) == 1
    assert RunFolder(tmp_path / "runs" / first).state() == "complete"


def test_a_silent_run_is_killed_and_done_again(tmp_path, design_of, monkeypatch):
    monkeypatch.setattr("mtlbench.study.driver.POLL_S", 0.01)
    design = design_of()
    first = next(iter(design.runs))
    executor = FakeExecutor(1, {first: ["hang"]})
    failures = run(tmp_path, design, executor, resources=ResourcesConfig(hung_minutes=0.002))
    assert failures == {}
    assert set(executor.killed) == {first}
    assert executor.submitted.count(first) == 2


def test_a_run_that_another_process_computes_is_waited_for(tmp_path, design_of, monkeypatch):
    monkeypatch.setattr("mtlbench.study.driver.POLL_S", 0.01)
    design = design_of()
    first = next(iter(design.runs))
    folder = RunFolder(tmp_path / "runs" / first)
    folder.path.mkdir(parents=True)
    folder.write_record({"state": "running"})
    executor = FakeExecutor(2)  # it takes a slot
    lock = folder.lock()
    lock.acquire()

    class Finishing(FakeStore):
        """The other process ends once everything else is done."""

        def ended(self, name):
            super().ended(name)
            if len(self.told) == len(design.runs) - 3:
                finish(folder)
                lock.release()

    assert run(tmp_path, design, executor, Finishing()) == {}
    assert first not in executor.submitted
    assert len(executor.submitted) == len(design.runs) - 1


def test_runs_that_failed_count_among_all(tmp_path, design_of):
    design = design_of()
    last = list(design.runs)[-1]
    start = design.runs[last].starts_from
    executor = FakeExecutor(1, {start: ["DivergedError: nan"]})
    progress = Works()
    run(tmp_path, design, executor, progress=progress)
    done, total, failed = progress.seen[-1]
    assert (done, total, failed) == (len(design.runs) - 2, len(design.runs), 2)
    assert {total for _, total, _ in progress.seen} == {len(design.runs)}


def test_a_run_that_hangs_on_another_host_is_told_once(tmp_path, design_of, monkeypatch):
    monkeypatch.setattr("mtlbench.study.driver.POLL_S", 0.01)
    design = design_of()
    first, *_ = design.runs
    folder, looks = RunFolder(tmp_path / "runs" / first), []
    folder.path.mkdir(parents=True)
    folder.write_record({"state": "running", "host": "elsewhere", "pid": 7})
    (folder.path / contact.HEARTBEAT).touch()
    os.utime(folder.path / contact.HEARTBEAT, times=(0, time.time() - 60))
    lock = folder.lock()
    lock.acquire()

    class Patient(Notes):
        """The other process ends after some more looks at it."""

        def tick(self, work):
            looks.append(work)
            if len(looks) == 20:
                finish(folder)
                lock.release()

    notes = Patient()
    resources = ResourcesConfig(hung_minutes=0.1)
    assert run(tmp_path, design, FakeExecutor(1), resources=resources, progress=notes) == {}
    said = [line for line in notes.lines if "no sign of life" in line]
    assert len(said) == 1
    assert said[0].startswith(f"{first}: no sign of life for 6")
    assert said[0].endswith("to be killed by hand: pid 7 on host elsewhere")


def test_a_damaged_history_holds_up_nothing(tmp_path, design_of):
    design = design_of()
    for name in design.runs:
        path = tmp_path / "runs" / name
        path.mkdir(parents=True)
        (path / "history.csv").write_bytes(b"stage,epo\nx,y\0\n")
    executor = FakeExecutor(2)
    assert run(tmp_path, design, executor) == {}
    assert sorted(executor.submitted) == sorted(design.runs)
