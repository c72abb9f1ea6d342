"""What a driver has to compute: the interface between it and the two kinds of study."""

from dataclasses import dataclass
from typing import Protocol

from mtlbench.study.design import Run
from mtlbench.training.state import EpochRow


@dataclass(slots=True)
class Work:
    """How much there is to do: runs (a search counts trials), and optimisation steps."""

    done: int
    total: int
    steps_left: int
    """Of all that is left, what is being computed included."""
    failed: int = 0
    """For good; a search counts a trial that has failed as done."""

    @property
    def left(self) -> int:
        """What is neither done nor has failed."""
        return self.total - self.done - self.failed


class Agenda(Protocol):
    """Decides which run comes next; the driver says how each went."""

    work: Work

    def next(self) -> Run | None:
        """A run that can start now and is not being computed; None while there is none.

        Where nothing is being computed either, None means that the agenda is done.
        """
        ...

    def label(self, name: str) -> str:
        """What a run is called on the screen."""
        ...

    def epoch(self, name: str, row: EpochRow) -> bool:
        """Take an epoch of a run; True where the run is to be stopped (pruned)."""
        ...

    def ended(self, name: str, failure: str | None) -> dict[str, str]:
        """Take the end of a run, complete, pruned or failed for good.

        Returns the runs that fail with it, because they start from it, with their reasons.
        """
        ...
