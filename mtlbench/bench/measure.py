"""Ratios of two ways to do the same work, timed in turn in one run, and how far noise goes."""

import datetime
import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Literal, NamedTuple

ROUNDS = 9
Work = Callable[[], object]


class Row(NamedTuple):
    """One measured value; `value` is None where a peer is not installed."""

    id: str
    what: str
    value: float | None
    unit: str
    bar: float | None
    better: Literal["lower", "higher"] = "lower"

    def holds(self, noise: float) -> bool | None:
        """Tell whether the bar is kept, to the noise; None without value or bar."""
        if self.value is None or self.bar is None:
            return None
        if self.better == "higher":
            return self.value >= self.bar * (1 - noise)
        return self.value <= self.bar * (1 + noise)


class Result(NamedTuple):
    """A bench's rows, with the noise of its ratios (A against A, as a fraction)."""

    noise: float
    rows: list[Row]


def ratio(work: Work, peer: Work, rounds: int = ROUNDS) -> float:
    """Median over rounds of the time of `work` over that of `peer`, who begins in turn."""
    work(), peer()
    ratios = []
    for number in range(rounds):
        if number % 2:
            theirs, ours = _seconds(peer), _seconds(work)
        else:
            ours, theirs = _seconds(work), _seconds(peer)
        ratios.append(ours / theirs)
    return median(ratios)


def noise_of(work: Work, rounds: int = ROUNDS) -> float:
    """How far the ratio of a work to itself is from 1."""
    return abs(ratio(work, work, rounds) - 1)


def _seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


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
