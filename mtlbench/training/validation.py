"""How often a training is validated: a function of counts alone, hence the same everywhere."""

import math

COST = 0.6
"""Of evaluating a case, in training steps of a case, on the safe side: a third by its operations,
since a step has a backward pass of twice as many; half where a GPU is launched with CUDA graphs for
steps alone, and up to 0.6 for networks so small that a batch's fixed costs show."""
SHARE = 0.05
"""Of a run, what validation stays below where the study file does not say how often it is done."""


def epochs_apart(asked: str | int, epochs: int, trained: int, val: int) -> int:
    """Epochs from one validation to the next, of a stage of so many, with so many cases.

    `asked` is `optim.validate_every`: a number, or `auto`. `trained` counts the cases of an epoch's
    whole batches that one rank trains on; each rank evaluates all `val` cases.
    """
    if isinstance(asked, int):
        return asked
    enough = (n for n in range(1, epochs) if share(n, epochs, trained, val) < SHARE)
    return next(enough, epochs)


def is_due(epoch: int, epochs: int, apart: int) -> bool:
    """Whether an epoch, counted from 1, is validated; the last one always is."""
    return epoch % apart == 0 or epoch == epochs


def share(apart: int, epochs: int, trained: int, val: int) -> float:
    """Part of a stage's time that its validations take."""
    validated = math.ceil(epochs / apart) * val * COST
    return validated / (epochs * trained + validated)
