"""Where runs are computed. To add one: a module with an `Executor`, and a line here."""

from collections.abc import Callable

from mtlbench.study.executors.base import Executor
from mtlbench.study.executors.local import LocalExecutor

EXECUTORS: dict[str, Callable[[list[str]], Executor]] = {"local": LocalExecutor}

__all__ = ["EXECUTORS", "Executor"]
