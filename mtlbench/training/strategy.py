"""How the two tasks are scheduled: a strategy is a tuple of stages, nothing more.

A run trains the last stage of its tuple; the stages before it are runs of their own, which the
study trains once for all that start from them. To add a strategy, write a function
`RunConfig -> tuple[Stage, ...]` and give it a line in `STRATEGIES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from mtlbench.config import BudgetConfig, RunConfig
from mtlbench.errors import StudyError


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


def cls(config: RunConfig) -> tuple[Stage, ...]:
    """Classification alone."""
    return (Stage("cls", 1.0, 0.0, config.budget.epochs, config.budget.steps),)


def seg(config: RunConfig) -> tuple[Stage, ...]:
    """Segmentation alone."""
    return (Stage("seg", 0.0, 1.0, config.budget.epochs, config.budget.steps),)


def joint(config: RunConfig) -> tuple[Stage, ...]:
    """Both at once: L = λ·L_cls + (1−λ)·L_seg (Eq. 1 of Le et al. 2019)."""
    weight = config.loss.lambda_
    return (Stage("joint", weight, 1.0 - weight, config.budget.epochs, config.budget.steps),)


def sequential(config: RunConfig) -> tuple[Stage, ...]:
    """Segmentation first, then all of it fine-tuned for classification."""
    first, second = _shares(config.budget)
    return (
        *seg(config.model_copy(update={"budget": first})),
        *cls(config.model_copy(update={"budget": second})),
    )


def _shares(budget: BudgetConfig) -> tuple[BudgetConfig, BudgetConfig]:
    """The budgets of two stages: the whole for each, or the whole between them."""
    if budget.rule == "per-stage":
        return budget, budget
    unit = "epochs" if budget.epochs is not None else "steps"
    amount = budget.epochs or budget.steps or 0
    if amount < 2:
        raise StudyError(f"budget.{unit} must be >= 2 to be split in two, but got {amount}")
    first = amount // 2
    return (
        budget.model_copy(update={unit: first}),
        budget.model_copy(update={unit: amount - first}),
    )


STRATEGIES: dict[str, Callable[[RunConfig], tuple[Stage, ...]]] = {
    "cls": cls,
    "seg": seg,
    "sequential": sequential,
    "joint": joint,
}
