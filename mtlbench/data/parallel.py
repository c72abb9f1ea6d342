"""Work on many images in several processes, in order, with bounded memory, whatever they hold.

A damaged file may crash a decoder or keep it busy for ever: then its process ends, and the image
is told as lost while the others go on.
"""

import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from mtlbench.processes import end_with_parent

T = TypeVar("T")
R = TypeVar("R")
_AHEAD = 4
"""Results per process that may wait for the one before them."""
LIMIT_S = 8.0
"""Processor seconds that one item may take."""


def ordered_map(
    function: Callable[[T], R], items: Sequence[T], jobs: int, lost: Callable[[T], R]
) -> Iterator[R]:
    """Yield `function(item)` in the order of the items, from `jobs` processes; 0: in this one.

    `lost(item)` stands for an item at which its process crashed or ran beyond `LIMIT_S`.
    """
    if jobs == 0:
        yield from map(function, items)
        return
    start = 0
    while start < len(items):
        for result in _until_broken(function, items[start:], jobs):
            yield result
            start += 1
        if start < len(items):  # the process of this item or of one soon after it has ended
            yield from _alone(function, items[start], lost)
            start += 1


def _until_broken(function: Callable[[T], R], items: Sequence[T], jobs: int) -> Iterator[R]:
    """Yield results in order; ends early where a process has ended."""
    pool = _pool(min(jobs, len(items)))
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(_limited, function, item))
            if len(waiting) > _AHEAD * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        return
    finally:
        pool.shutdown(cancel_futures=True)


def _alone(function: Callable[[T], R], item: T, lost: Callable[[T], R]) -> Iterator[R]:
    with _pool(1) as pool:
        try:
            pool.submit(_ready).result()
        except BrokenProcessPool:
            raise RuntimeError(
                "processes must start, but one ended at once: a script that asks for them needs "
                'its calls below `if __name__ == "__main__":`'
            ) from None
        try:
            yield pool.submit(_limited, function, item).result()
        except BrokenProcessPool:
            yield lost(item)


def _pool(jobs: int) -> ProcessPoolExecutor:
    # spawn: a fork of a process that runs threads (torch, BLAS) may hang.
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_begin)


def _begin() -> None:
    end_with_parent()
    # Python's own handler would wait for the decoder to return; this one ends the process.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)


def _ready() -> None:
    """Do nothing: the process has started."""


def _limited(function: Callable[[T], R], item: T) -> R:
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    try:
        return function(item)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
