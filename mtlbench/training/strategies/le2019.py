"""The three ways of training of Le et al. 2019: single tasks, sequential, joint."""

from mtlbench.config import BudgetConfig, RunConfig
from mtlbench.errors import StudyError
from mtlbench.training.strategies.stage import Stage


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
