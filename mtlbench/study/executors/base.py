"""The small interface between the driver and whatever computes its runs."""

from dataclasses import dataclass
from typing import Protocol

from mtlbench.training.run import Task
from mtlbench.training.state import Row


@dataclass(frozen=True, slots=True)
class Epoch:
    """A run has finished an epoch: its row of history.csv, and the stage's number of epochs."""

    run: str
    row: Row
    epochs: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A run has returned; its folder says how it went."""

    run: str
    error: str | None


@dataclass(frozen=True, slots=True)
class Lost:
    """The process that computed a run is gone."""

    run: str
    reason: str


Event = Epoch | Ended | Lost


class Executor(Protocol):
    """Computes at most `slots` runs at a time; what it does never changes a result."""

    slots: int

    def submit(self, task: Task) -> None:
        """Start a run; there must be a free slot."""
        ...

    def events(self, timeout_s: float) -> list[Event]:
        """What has happened since, waiting at most `timeout_s` for the first."""
        ...

    def close(self) -> None:
        """End every worker; a run that is being computed may write a checkpoint before."""
        ...
