"""The stage: what a strategy is made of."""

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True)
class Stage:
    """One optimisation phase: the weights of the two losses and the length of the training.

    A task of weight 0 is not computed and its head is not stepped. Exactly one of `epochs` and
    `steps` is set.
    """

    name: str
    cls_weight: float
    seg_weight: float
    epochs: int | None
    steps: int | None

    def total_steps(self, steps_per_epoch: int) -> int:
        """Optimisation steps of this stage."""
        return self.steps if self.steps is not None else (self.epochs or 0) * steps_per_epoch

    def total_epochs(self, steps_per_epoch: int) -> int:
        """Passes over the training cases, the last one cut where the steps end."""
        return ceil(self.total_steps(steps_per_epoch) / steps_per_epoch)
