"""How the two tasks are scheduled: a strategy is a tuple of stages, nothing more.

A run trains the last stage of its tuple; the stages before it are runs of their own, which the
study trains once for all that start from them. To add a strategy: a file with a function
`RunConfig -> tuple[Stage, ...]`, imported here and given a line in `STRATEGIES`. Under a `total`
budget its stages share the budget; the tests run over the dict.
"""

from collections.abc import Callable

from mtlbench.config import RunConfig
from mtlbench.training.strategies.le2019 import cls, joint, seg, sequential
from mtlbench.training.strategies.stage import Stage

STRATEGIES: dict[str, Callable[[RunConfig], tuple[Stage, ...]]] = {
    "cls": cls,
    "seg": seg,
    "sequential": sequential,
    "joint": joint,
}

__all__ = ["STRATEGIES", "Stage"]
