"""Warm worker processes on this machine, one per slot.

A worker does many runs, since importing torch takes seconds; one that dies, or whose run failed,
is replaced when the next run comes.
"""

import contextlib
import multiprocessing as mp
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

from mtlbench.config import ResourcesConfig
from mtlbench.processes import end_with_parent, kill_group
from mtlbench.study.executors.base import Ended
from mtlbench.training.checkpoint import Stopped, StopRequest
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
        self.run: str | None = None
        self.fresh = True
        """Whether none of its runs has failed."""
        self.pipe, far = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(target=_serve, args=(far,), daemon=True)
        self.process.start()
        far.close()

    def end(self) -> None:
        """Kill it with its children."""
        if self.process.pid is not None:
            kill_group(self.process.pid)
        self.process.kill()
        self.process.join()
        self.pipe.close()


class LocalExecutor:
    """A worker per slot; its devices are those of the slot."""

    def __init__(
        self, places: Sequence[tuple[str, ...]], resources: ResourcesConfig, folder: Path
    ) -> None:
        """Start the workers, which import torch while the driver goes on."""
        self.slots = len(places)
        self._workers = [_Worker(devices) for devices in places]

    def submit(self, task: Task) -> None:
        """Give the task to a free worker, with that worker's devices."""
        index = next(i for i, worker in enumerate(self._workers) if worker.run is None)
        worker = self._workers[index]
        if not worker.fresh or not worker.process.is_alive():
            worker.end()
            worker = self._workers[index] = _Worker(worker.devices)
        worker.run = task.folder.name
        with contextlib.suppress(BrokenPipeError):  # a worker that died is reported by wait()
            worker.pipe.send(replace(task, devices=worker.devices))

    def adopts(self, folder: Path) -> bool:
        """Never: a worker ends with its driver."""
        return False

    def wait(self, timeout_s: float) -> list[Ended]:
        """Answers of the workers; one that died while it had a run has ended it too."""
        ready = wait([worker.pipe for worker in self._workers if worker.run], timeout_s)
        return [self._ended(worker) for worker in self._workers if worker.pipe in ready]

    def kill(self, run: str) -> None:
        """Kill the run's worker with its children."""
        for worker in self._workers:
            if worker.run == run and worker.process.pid is not None:
                kill_group(worker.process.pid)

    def close(self) -> None:
        """Let the workers write checkpoints of what they do, then kill what is left of them."""
        busy = [worker for worker in self._workers if worker.run]
        for worker in busy:
            worker.process.terminate()
        until = time.monotonic() + STOP_S
        for worker in busy:
            worker.process.join(max(0.0, until - time.monotonic()))
        for worker in self._workers:
            worker.end()

    def _ended(self, worker: _Worker) -> Ended:
        assert worker.run is not None
        excused = False
        try:
            reason: str | None = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join()
            reason = f"its worker ended with code {worker.process.exitcode}"
            excused = worker.process.exitcode in _ASKED
        ended = Ended(worker.run, reason, excused)
        worker.run, worker.fresh = None, reason is None
        return ended


def _serve(pipe: Connection) -> None:
    """The worker's life: wait for a task, do it, say how it went, until the driver is gone."""
    os.setsid()  # Ctrl-C is the driver's to handle, and the group can be killed as one
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    stop = StopRequest()
    stop.listen()
    while True:
        task: Task = pipe.recv()
        try:
            execute(task, stop)
        except Stopped:
            return
        except Exception as error:
            pipe.send(f"{type(error).__name__}: {error}")
        else:
            pipe.send(None)
