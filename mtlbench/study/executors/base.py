"""The small interface between the driver and whatever computes its runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mtlbench.training.run import Task


@dataclass(frozen=True, slots=True)
class Ended:
    """A run is no longer being computed; its folder says how it went.

    `reason` is what to say where the folder does not: the worker was killed, the disk is full.
    """

    run: str
    reason: str | None
    excused: bool = False
    """Whether it was asked to end: not counted as the death of a run that keeps dying."""


class Executor(Protocol):
    """Computes at most `slots` runs at a time with `training.run.execute`.

    How far a run is, the driver reads in its folder. What an executor does never changes a result,
    and no run that it was given is left without an `Ended`.
    """

    slots: int

    def submit(self, task: Task) -> None:
        """Start a run; there must be a free slot. The executor sets `task.devices`.

        A process that has the run and gives no sign of life hangs (see `study/watch.py`); so a run
        gets its first sign when it is handed to one, and none while it waits in a queue.
        """
        ...

    def adopts(self, folder: Path) -> bool:
        """Whether `submit` follows what a dead driver has left of this run, wherever it runs."""
        ...

    def wait(self, timeout_s: float) -> list[Ended]:
        """Runs that have ended since, waiting at most `timeout_s` for the first."""
        ...

    def kill(self, run: str) -> None:
        """End a run that shows no sign of life, with all of its processes; an `Ended` follows."""
        ...

    def close(self) -> None:
        """End every worker; a run that is being computed may write a checkpoint before."""
        ...
