"""Work on many images in several processes, in order, with bounded memory."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from mtlbench.processes import end_with_parent

T = TypeVar("T")
R = TypeVar("R")
_AHEAD = 4
"""Results per process that may wait for the one before them."""


def ordered_map(function: Callable[[T], R], items: Sequence[T], jobs: int) -> Iterator[R]:
    """Yield `function(item)` in the order of the items; `jobs` processes, 1: in this one."""
    if jobs == 1:
        yield from map(function, items)
        return
    # spawn: a fork of a process that runs threads (torch, BLAS) may hang.
    with ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=end_with_parent
    ) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > _AHEAD * jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
