"""The small interface between the driver and whatever computes its runs."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, Self

from mtlbench.errors import BusyError, DiskError
from mtlbench.training.run import Task


class Kind(StrEnum):
    """Why a run is no longer being computed, where its folder does not say that it is done."""

    DIED = "died"
    """Counted: a run that keeps dying fails."""
    ASKED = "asked"
    """Somebody has asked it to end: not counted."""
    BUSY = "busy"
    """Another process computes it."""
    DISK = "disk"
    """The disk is full or cannot be written."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A run is no longer being computed; its folder says how it went.

    `kind` and `reason` say it where the folder does not: the worker was killed, the disk is full.
    """

    run: str
    reason: str | None
    kind: Kind = Kind.DIED

    @classmethod
    def by(cls, run: str, error: Exception) -> Self:
        """What `training.run.execute` has raised."""
        if isinstance(error, DiskError):
            return cls(run, str(error), Kind.DISK)
        kind = Kind.BUSY if isinstance(error, BusyError) else Kind.DIED
        return cls(run, f"{type(error).__name__}: {error}", kind)


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
