"""Ratios of two ways to do the same work, timed in turn in one run, and how far noise goes."""

import datetime
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeVar

ROUNDS = 9
MOST_NOISE = 0.10
"""Above it a run judges nothing: the machine was busy."""
T = TypeVar("T")
Work = Callable[[], Any]


class Row(NamedTuple):
    """One measured value; `value` is None where a peer is not installed."""

    id: str
    what: str
    value: float | None
    unit: str
    bar: float | None
    better: Literal["lower", "higher"] = "lower"
    noise: float | None = None
    """Of the row's own kind of work, 0 for what is counted; None: that of the bench."""

    def holds(self, noise: float | None) -> bool | None:
        """Tell whether the bar is kept, to the row's noise or else the bench's `noise`.

        None without a value, bar or noise, or where the noise is too large.
        """
        noise = noise if self.noise is None else self.noise
        if self.value is None or self.bar is None or noise is None or noise > MOST_NOISE:
            return None
        if self.better == "higher":
            return self.value >= self.bar * (1 - noise)
        return self.value <= self.bar * (1 + noise)


class Result(NamedTuple):
    """A bench's rows, with the noise of its ratios (A against A, as a fraction).

    Where rows have their own, it is the largest; None: nothing was timed against itself.
    """

    noise: float | None
    rows: list[Row]
    facts: Mapping[str, object] = MappingProxyType({})
    """What the bench adds to the environment."""


class Ratio(NamedTuple):
    """One time over another, and how far the other one over itself is from 1."""

    value: float
    noise: float


def seconds(work: Work) -> float:
    """How long a work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def told(work: Work) -> float:
    """How long a work says that it took."""
    return float(work())


def in_turn(
    works: Sequence[Work], rounds: int = ROUNDS, by: Callable[[Work], float] = seconds
) -> list[list[float]]:
    """Do all works in each round, in an order that turns round; the times of each, by round.

    `by` does a work and says how long it took. What comes before the first round is not timed.
    """
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    for number in range(rounds):
        turn = list(zip(works, times, strict=True))
        for work, own in reversed(turn) if number % 2 else turn:
            own.append(by(work))
    return times


def ratio(
    work: Work, peer: Work, rounds: int = ROUNDS, by: Callable[[Work], float] = seconds
) -> float:
    """Median over rounds of the time of `work` over that of `peer`, in turn."""
    return quotient(*in_turn((work, peer), rounds, by))


def against(
    work: Work, base: Work, rounds: int = ROUNDS, by: Callable[[Work], float] = seconds
) -> Ratio:
    """The time of `work` over that of `base`, which is done twice in a round: over itself, too."""
    base_s, work_s, again_s = in_turn((base, work, base), rounds, by)
    return Ratio(quotient(work_s, base_s), abs(quotient(again_s, base_s) - 1))


def quotient(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median over rounds of one time over another."""
    return median(a / b for a, b in zip(ours, theirs, strict=True))


def noise_of(work: Work, rounds: int = ROUNDS, by: Callable[[Work], float] = seconds) -> float:
    """How far the ratio of a work to itself is from 1."""
    return abs(ratio(work, work, rounds, by) - 1)


def largest_noise(rows: Sequence[Row]) -> float | None:
    """Of the rows that have their own."""
    return max((row.noise for row in rows if row.noise is not None), default=None)


def attempt(name: str, work: Callable[[], T]) -> T | None:
    """Do a part that may lack a peer, a compiler or memory; what it lacks goes to stderr."""
    try:
        return work()
    except Exception as error:
        print(f"{name} is not measured: {type(error).__name__}: {error}", file=sys.stderr)
        return None


def ratio_row(
    row_id: str,
    what: str,
    bar: float | None,
    work: Callable[[], Ratio],
    better: Literal["lower", "higher"] = "lower",
) -> Row:
    """The row of a ratio with its noise, empty where it cannot be measured."""
    value, noise = attempt(row_id, work) or (None, None)
    return Row(row_id, what, value, "ratio", bar, better, noise)


def environment(packages: Sequence[str]) -> dict[str, object]:
    """Machine, versions and date, for the record."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in packages},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """Model name, where Linux tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123
            names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor()
