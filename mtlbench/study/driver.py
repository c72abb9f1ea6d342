"""The one driver of a study: it asks Optuna, hands runs to an executor, and tells what came out.

The driver may be killed at any moment. The next one goes on with what is not complete on disk, from
its checkpoints; what is complete is never touched.
"""

import os
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from mtlbench.config import ResourcesConfig
from mtlbench.errors import BusyError
from mtlbench.records import RunFolder, read_json, write_json
from mtlbench.study.data import StudyData
from mtlbench.study.design import Design
from mtlbench.study.executors.base import Epoch, Event, Executor, Lost
from mtlbench.study.progress import Progress
from mtlbench.study.store import Store
from mtlbench.training.run import Task

LOST_ATTEMPTS = 3
"""How often one driver starts a run whose worker keeps dying."""
POLL_S = 1.0


@dataclass(slots=True)
class _Queue:
    """Runs on their way: asked of Optuna, held back for the run they start from, or computing."""

    trial: dict[str, int] = field(default_factory=dict)
    held: deque[str] = field(default_factory=deque)
    running: set[str] = field(default_factory=set)
    lost: dict[str, int] = field(default_factory=dict)


class Driver:
    """Computes what a study still lacks."""

    def __init__(
        self, folder: Path, design: Design, data: StudyData, store: Store, executor: Executor,
        progress: Progress, resources: ResourcesConfig,
    ) -> None:  # fmt: skip
        """`folder` is results/<study>, held by `hold`."""
        self._folder = folder
        self._design = design
        self._data = data
        self._store = store
        self._executor = executor
        self._progress = progress
        self._resources = resources
        self._queue = _Queue()

    def run(self) -> dict[str, str]:
        """Compute until every run is complete or has failed; return the failures' reasons."""
        failures: dict[str, str] = {}
        while True:
            self._fill(failures)
            if not self._queue.running:
                return failures
            for event in self._executor.events(POLL_S):
                self._handle(event, failures)
            self._progress.tick()

    def _fill(self, failures: dict[str, str]) -> None:
        """Start runs until the executor is full or none is ready."""
        waiting: list[str] = []
        while len(self._queue.running) < self._executor.slots and (name := self._next()):
            start = self._design.runs[name].starts_from
            if start in failures:
                reason = f"{start}, which it starts from, failed"
                self._fail(name, reason, failures)
            elif start is not None and self._state(start) != "complete":
                waiting.append(name)
            else:
                self._submit(name)
        self._queue.held.extendleft(reversed(waiting))

    def _next(self) -> str | None:
        if self._queue.held:
            return self._queue.held.popleft()
        asked = self._store.ask()
        if asked is None:
            return None
        number, name = asked
        self._queue.trial[name] = number
        return name

    def _submit(self, name: str) -> None:
        self._queue.running.add(name)
        self._progress.started(name)
        self._executor.submit(
            Task(
                folder=self._folder / "runs" / name,
                prepared=self._data.prepared.root,
                cases=self._folder / "cases.csv",
                config=self._design.runs[name].config,
                device="cpu",
                resources=self._resources,
            )
        )

    def _handle(self, event: Event, failures: dict[str, str]) -> None:
        name = event.run
        if isinstance(event, Epoch):
            self._progress.epoch(name, event.row, event.epochs)
            return
        self._queue.running.discard(name)
        if isinstance(event, Lost):
            self._queue.lost[name] = self._queue.lost.get(name, 0) + 1
            if self._queue.lost[name] < LOST_ATTEMPTS:
                self._progress.note(f"{name}: {event.reason}; starting it again")
                self._queue.held.append(name)
                return
            reason: str | None = f"{event.reason}, {LOST_ATTEMPTS} times"
        else:
            reason = event.error
        if reason is None:
            self._store.tell(self._queue.trial.pop(name), name)
            self._progress.finished(name)
        else:
            self._fail(name, reason, failures)

    def _fail(self, name: str, reason: str, failures: dict[str, str]) -> None:
        folder = RunFolder(self._folder / "runs" / name)
        if folder.state() != "failed":
            folder.write_record(folder.record() | {"state": "failed", "error": reason})
        self._store.tell(self._queue.trial.pop(name), name)
        failures[name] = reason
        self._progress.failed(name, reason)

    def _state(self, name: str) -> str:
        return RunFolder(self._folder / "runs" / name).state()


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Be the only driver of a study while the block runs.

    Raises:
        BusyError: another process drives it; its pid and host are named.
    """
    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / "driver.json"
    lock = FileLock(folder / "driver.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = read_json(holder) if holder.exists() else {"pid": "unknown", "host": "unknown"}
        raise BusyError(
            f"{folder}: is being driven by pid {who['pid']} on host {who['host']}"
        ) from None
    try:
        write_json(holder, {"pid": os.getpid(), "host": socket.gethostname()})
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
