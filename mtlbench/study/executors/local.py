"""Warm worker processes on this machine, one per device given."""

import contextlib
import multiprocessing as mp
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait

from mtlbench.processes import end_with_parent
from mtlbench.study.executors.base import Ended, Epoch, Event, Lost
from mtlbench.training.checkpoint import Stopped, StopRequest
from mtlbench.training.run import Task, execute
from mtlbench.training.state import Row

STOP_S = 25.0
"""How long a worker that was asked to stop may take over its checkpoint."""
_CONTEXT = mp.get_context("spawn")


class _Worker:
    """A process that does one task after another, and the driver's end of its pipe."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.run: str | None = None
        self.pipe, far = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(target=_serve, args=(far,), daemon=True)
        self.process.start()
        far.close()

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class LocalExecutor:
    """A worker per entry of `devices`; one that dies is replaced when the next run comes."""

    def __init__(self, devices: Sequence[str]) -> None:
        """Start the workers, which import torch while the driver goes on."""
        self.slots = len(devices)
        self._workers = [_Worker(device) for device in devices]

    def submit(self, task: Task) -> None:
        """Give the task to a free worker, with that worker's device."""
        index = next(i for i, worker in enumerate(self._workers) if worker.run is None)
        if not self._workers[index].process.is_alive():
            self._workers[index].end()
            self._workers[index] = _Worker(self._workers[index].device)
        worker = self._workers[index]
        worker.run = task.folder.name
        with contextlib.suppress(BrokenPipeError):  # a worker that died is reported by events()
            worker.pipe.send(replace(task, device=worker.device))

    def events(self, timeout_s: float) -> list[Event]:
        """Messages of the workers; a worker that died while it had a run makes a `Lost`."""
        ready = wait([worker.pipe for worker in self._workers if worker.run], timeout_s)
        found: list[Event] = []
        for worker in self._workers:
            if worker.run is None or worker.pipe not in ready:
                continue
            try:
                event: Event = worker.pipe.recv()
            except (EOFError, OSError):
                worker.process.join()
                event = Lost(worker.run, f"its worker ended with code {worker.process.exitcode}")
            if not isinstance(event, Epoch):
                worker.run = None
            found.append(event)
        return found

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


def _serve(pipe: Connection) -> None:
    """The worker's life: wait for a task, do it, say how it went, until the driver is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    end_with_parent()
    stop = StopRequest()
    stop.listen()
    while True:
        task: Task = pipe.recv()
        name = task.folder.name

        def report(row: Row, epochs: int, name: str = name) -> None:
            pipe.send(Epoch(name, row, epochs))

        try:
            execute(task, report, stop)
        except Stopped:
            return
        except Exception as error:
            pipe.send(Ended(name, f"{type(error).__name__}: {error}"))
        else:
            pipe.send(Ended(name, None))
