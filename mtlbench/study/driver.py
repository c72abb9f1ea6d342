"""The one driver of a study: an agenda says what to compute, an executor computes it.

A run is started in `_start`, recorded by whoever computes it (`training/run.py`, in the run's
folder), and judged in `_end`: complete and pruned are final; failed is tried again as often as
`[resources] retries` allows; anything else means that the process which computed it is gone, and it
goes on from its checkpoint. The driver may be killed at any moment: the next one goes on with what
is not complete on disk.
"""

import socket
import time
from collections import deque
from pathlib import Path

from mtlbench.config import ResourcesConfig
from mtlbench.errors import DiskError
from mtlbench.processes import kill
from mtlbench.records import RunFolder, run_folder
from mtlbench.study.agenda import Agenda
from mtlbench.study.design import Run
from mtlbench.study.executors import Ended, Executor, Kind
from mtlbench.study.listeners import Listeners
from mtlbench.study.retry import given_up
from mtlbench.study.watch import Watch
from mtlbench.training.contact import ask_to_stop
from mtlbench.training.run import Task

POLL_S = 0.5
FINAL = ("complete", "pruned")


class Driver:
    """Computes what an agenda asks for."""

    def __init__(
        self, folder: Path, prepared: Path, agenda: Agenda, executor: Executor,
        listeners: Listeners, resources: ResourcesConfig,
    ) -> None:  # fmt: skip
        """`folder` is results/<study>, held by `hold`; `prepared` the data's folder."""
        self._folder = folder
        self._prepared = prepared
        self._agenda = agenda
        self._executor = executor
        self._listeners = listeners
        self._resources = resources
        self._again: deque[Run] = deque()
        self._busy: dict[str, Run] = {}
        """What the executor computes."""
        self._foreign: dict[str, Run] = {}
        """What a process computes that a dead driver has left: waited for, never doubled."""
        self._watch: dict[str, Watch] = {}
        self._ways: set[tuple[str, str]] = set()
        self._hung: set[str] = set()
        """Runs of which it was said that they hang."""
        self._looked_at = 0.0

    def run(self) -> dict[str, str]:
        """Compute until the agenda is done; return the runs that failed, with their reasons.

        Raises:
            DiskError: a run could not be written, which is not its own fault.
        """
        failures: dict[str, str] = {}
        while True:
            self._fill()
            if not self._busy and not self._foreign:
                return failures
            for ended in self._executor.wait(POLL_S):
                self._end(ended, failures)
            self._look(failures)
            self._listeners.tick(self._agenda.work)

    def _fill(self) -> None:
        """Start runs until the executor is full or none is ready."""
        while len(self._busy) + len(self._foreign) < self._executor.slots:
            run = self._again.popleft() if self._again else self._agenda.next()
            if run is None:
                return
            self._start(run)

    def _start(self, run: Run) -> None:
        folder = self._run(run.hash)
        watch = self._watch.setdefault(run.hash, Watch(folder.path))
        self._hung.discard(run.hash)
        self._listeners.begun(run, self._agenda.label(run.hash))
        is_running = folder.state() == "running"
        if is_running and not self._executor.adopts(folder.path):
            self._foreign[run.hash] = run
            return
        if not is_running:  # else its silence counts from its last sign of life, not from now
            watch.begin()
        self._busy[run.hash] = run
        self._executor.submit(
            Task(
                folder=folder.path,
                prepared=self._prepared,
                cases=self._folder / "cases.csv",
                config=run.config,
                weights=run.weights,
                devices=(),
                resources=self._resources,
            )
        )

    def _look(self, failures: dict[str, str]) -> None:
        """Read what the runs have written since, and kill those that hang."""
        if time.monotonic() - self._looked_at < POLL_S:
            return
        self._looked_at = time.monotonic()
        for name in [*self._busy, *self._foreign]:
            self._read(name)
        for name in [*self._busy, *self._foreign]:
            silent_s = self._watch[name].silent_s()
            if silent_s > 60 * self._resources.hung_minutes:
                self._kill(name, silent_s)
        for name in list(self._foreign):
            if self._run(name).state() != "running":
                reason = "the process that computed it has ended"
                self._end(Ended(name, reason, Kind.ASKED), failures)  # as its driver had

    def _kill(self, name: str, silent_s: float) -> None:
        """Kill a run that hangs; one that a dead driver has left, if it is on this machine."""
        record = self._run(name).record()
        how = "killing it"
        if name in self._busy:
            self._executor.kill(name)
        elif record.get("host") == socket.gethostname():
            kill(int(record["pid"]))
        else:
            how = f"to be killed by hand: pid {record.get('pid')} on host {record.get('host')}"
        if name not in self._hung:
            self._hung.add(name)
            self._listeners.note(f"{name}: no sign of life for {silent_s:.0f} s; {how}")

    def _read(self, name: str) -> None:
        run = self._busy.get(name) or self._foreign[name]
        rows = self._watch[name].new_rows()
        if rows:
            self._say_way(name)
        for row in rows:
            self._listeners.epoch(run, row)
            if self._agenda.epoch(name, row):
                ask_to_stop(self._run(name).path)

    def _say_way(self, name: str) -> None:
        """Say how a run is computed, where none so far was computed like that."""
        record = self._run(name).record()
        if not {"data", "compile", "compile_why"} <= set(record):
            return
        way = (record["data"].split()[0], record["compile"])
        if way not in self._ways:
            self._ways.add(way)
            told = f"compile: {record['compile']} ({record['compile_why']})"
            self._listeners.note(f"data: {record['data']}; {told}")

    def _end(self, ended: Ended, failures: dict[str, str]) -> None:
        name = ended.run
        self._read(name)
        run = self._busy.pop(name, None) or self._foreign.pop(name)
        folder = self._run(name)
        state, record = folder.look()
        if state in FINAL:
            self._close(run, None, failures)
        elif state == "failed":
            if given_up(record, self._resources.retries):
                self._close(run, record["error"], failures)
            else:
                self._retry(run, record["error"])
        elif ended.kind == Kind.DISK:
            raise DiskError(ended.reason)
        elif (
            ended.kind == Kind.DIED
            and (deaths := self._count_death(folder)) > self._resources.retries
        ):
            reason = f"{ended.reason}, {deaths} times"
            self._fail(folder, reason)
            self._close(run, reason, failures)
        else:
            self._retry(run, str(ended.reason))

    def _retry(self, run: Run, reason: str) -> None:
        self._listeners.note(f"{run.hash}: {reason}; starting it again")
        self._again.append(run)

    def _count_death(self, folder: RunFolder) -> int:
        """Deaths in a row, over all starts, between which no epoch has ended; in the record too."""
        record, epochs = folder.record(), self._watch[folder.name].epochs
        before = record.get("deaths", {"times": 0, "epochs": 0})
        times = before["times"] + 1 if epochs <= before["epochs"] else 1
        deaths = {"times": times, "epochs": max(epochs, before["epochs"])}
        folder.write_record(record | {"deaths": deaths})
        return times

    def _close(self, run: Run, failure: str | None, failures: dict[str, str]) -> None:
        """Tell the agenda, and fail those that start from a run that has failed."""
        followers = self._agenda.ended(run.hash, failure)
        for name, reason in followers.items():
            self._fail(self._run(name), reason)
        if failure is not None:
            followers = {run.hash: failure, **followers}
        for name, reason in followers.items():
            self._listeners.note(f"{self._agenda.label(name)} ({name}) failed: {reason}")
        failures |= followers
        self._listeners.ended(run, self._run(run.hash).record(), self._agenda.work)
        del self._watch[run.hash]

    def _fail(self, folder: RunFolder, reason: str) -> None:
        record = {"attempts": 0, "failures": 0} | folder.record()
        folder.write_record(record | {"state": "failed", "error": reason})

    def _run(self, name: str) -> RunFolder:
        return run_folder(self._folder, name)
