"""Warm worker processes on this machine, one per slot.

A worker does many runs, since importing torch takes seconds; one that dies, or whose run failed,
is replaced when the next run comes.
"""

import contextlib
import multiprocessing as mp
import pickle
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import ModuleType

from mtlbench.config import ResourcesConfig
from mtlbench.processes import kill_group
from mtlbench.study.executors.base import Ended, Kind
from mtlbench.study.executors.places import most_sharers
from mtlbench.study.worker import SIGN, begin
from mtlbench.training.checkpoint import Stopped, StopRequest
from mtlbench.training.contact import HEARTBEAT
from mtlbench.training.run import Task, execute

STOP_S = 25.0
"""How long a worker that was asked to stop may take over its checkpoint."""
_ASKED = (0, -signal.SIGTERM)
"""How a worker ends that somebody has asked to: after a checkpoint, or before it listens."""
_CONTEXT = mp.get_context("spawn")


class _Worker:
    """A process that does one task after another, and the driver's end of its pipe."""

    def __init__(self, devices: tuple[str, ...]) -> None:
        self.devices = devices
        self.folder: Path | None = None
        """Of the run that it has."""
        self.fresh = True
        """Whether none of its runs has failed."""
        self.pipe, far = _CONTEXT.Pipe()
        serve = pickle.dumps(_serve)
        self.process = _CONTEXT.Process(target=begin, args=(serve, far), daemon=True)
        with _no_main():
            self.process.start()
        far.close()

    def kill(self) -> None:
        """Kill it with its children."""
        if self.process.pid is not None:
            kill_group(self.process.pid)
        self.process.kill()  # where it does not lead its group yet

    def end(self) -> None:
        """Kill it, and forget it."""
        self.kill()
        self.process.join()
        self.pipe.close()


class LocalExecutor:
    """A worker per slot; its devices are those of the slot."""

    def __init__(
        self, places: Sequence[tuple[str, ...]], resources: ResourcesConfig, folder: Path
    ) -> None:
        """Start the workers, which import torch while the driver goes on."""
        self.slots, self._sharers = len(places), most_sharers(places)
        self._workers = [_Worker(devices) for devices in places]

    def submit(self, task: Task) -> None:
        """Give the task to a free worker, with that worker's devices."""
        index = next(i for i, worker in enumerate(self._workers) if worker.folder is None)
        worker = self._workers[index]
        if not worker.fresh or not worker.process.is_alive():
            worker.end()
            worker = self._workers[index] = _Worker(worker.devices)
        worker.folder = task.folder
        _beat(task.folder)
        with contextlib.suppress(BrokenPipeError):  # a worker that died is reported by wait()
            sharers = max(task.sharers, self._sharers)
            worker.pipe.send(replace(task, devices=worker.devices, sharers=sharers))

    def adopts(self, folder: Path) -> bool:
        """Never: a worker ends with its driver."""
        return False

    def wait(self, timeout_s: float) -> list[Ended]:
        """Answers of the workers; one that died while it had a run has ended it too."""
        ready = wait([worker.pipe for worker in self._workers if worker.folder], timeout_s)
        heard = [self._hear(worker) for worker in self._workers if worker.pipe in ready]
        return [ended for ended in heard if ended]

    def kill(self, run: str) -> None:
        """Kill the run's worker with its children."""
        for worker in self._workers:
            if worker.folder and worker.folder.name == run:
                worker.kill()

    def close(self) -> None:
        """Let the workers write checkpoints of what they do, then kill what is left of them."""
        busy = [worker for worker in self._workers if worker.folder]
        for worker in busy:
            worker.process.terminate()
        until = time.monotonic() + STOP_S
        for worker in busy:
            worker.process.join(max(0.0, until - time.monotonic()))
        for worker in self._workers:
            worker.end()

    def _hear(self, worker: _Worker) -> Ended | None:
        """What a worker says: how its run went, or that it is about to begin; or that it died."""
        assert worker.folder is not None
        try:
            said: Ended | str = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join()
            code = worker.process.exitcode
            kind = Kind.ASKED if code in _ASKED else Kind.DIED
            said = Ended(worker.folder.name, f"its worker ended with code {code}", kind)
        if isinstance(said, str):
            assert said == SIGN
            _beat(worker.folder)
            return None
        worker.folder, worker.fresh = None, said.reason is None
        return said


@contextlib.contextmanager
def _no_main() -> Iterator[None]:
    """Keep a process that is spawned here from importing the main module before `begin`."""
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _beat(folder: Path) -> None:
    """Give a sign of life for a run whose worker has not begun yet: it may hang before that."""
    with contextlib.suppress(OSError):  # a full disk, of which the worker will tell
        folder.mkdir(parents=True, exist_ok=True)
        (folder / HEARTBEAT).touch()


def _serve(pipe: Connection) -> None:
    """The worker's life: wait for a task, do it, say how it went, until the driver is gone."""
    stop = StopRequest()
    stop.listen()
    while True:
        task: Task = pipe.recv()
        try:
            execute(task, stop)
        except Stopped:
            return
        except Exception as error:
            pipe.send(Ended.by(task.folder.name, error))
        else:
            pipe.send(Ended(task.folder.name, None))
