"""How often a training is validated: a function of counts alone, hence the same everywhere."""

import math

COST = 1 / 2
"""Of evaluating a case, in training steps of a case, at most: a third by its operations, since a
step has a backward pass of twice as many; a half on a GPU where steps are launched as a CUDA graph
and evaluations are not."""
SHARE = 0.05
"""Of a run, what validation stays below where the study file does not say how often it is done."""


def epochs_apart(asked: str | int, epochs: int, train: int, val: int) -> int:
    """Epochs from one validation to the next, of a stage of so many, with so many cases.

    `asked` is `optim.validate_every`: a number, or `auto`. `train` counts the cases of one rank, of
    which each evaluates all `val` cases.
    """
    if isinstance(asked, int):
        return asked
    enough = (n for n in range(1, epochs) if share(n, epochs, train, val) < SHARE)
    return next(enough, epochs)


def is_due(epoch: int, epochs: int, apart: int) -> bool:
    """Whether an epoch, counted from 1, is validated; the last one always is."""
    return epoch % apart == 0 or epoch == epochs


def share(apart: int, epochs: int, train: int, val: int) -> float:
    """Part of a stage's time that its validations take."""
    validated = math.ceil(epochs / apart) * val * COST
    return validated / (epochs * train + validated)
