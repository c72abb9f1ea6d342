"""How often an interval holds the true value, and how often equal arms are told apart.

Every metric, each of our methods, on simulated test sets: docs/statistics.md has the table.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mtlbench.analysis import find_metric
from mtlbench.analysis.bootstrap import bootstrap
from mtlbench.analysis.intervals import (
    BCA,
    IDENTITY,
    METHODS,
    STUDENTISED,
    Estimate,
    Interval,
    Scale,
    bca,
    clustered_t,
    percentile,
    studentised,
)
from mtlbench.bench.simulate import WORLDS, Setting, truth

LEVEL = 0.95
CLOSED = "closed"


@dataclass(frozen=True)
class Coverage:
    """Of one method in one setting."""

    metric: str
    setting: Setting
    method: str
    covered: float
    """Of the data sets with an interval."""
    estimable: float
    """Data sets with an interval."""
    width: float
    """Median."""
    rejected: float
    """Differences of equal arms with p < 0.05."""


def coverage(
    metric: str, setting: Setting, data_sets: int, resamples: int, first: int = 0
) -> list[Coverage]:
    """Measure all methods on the same data sets, number `first` and on."""
    value = truth(metric, setting)
    found = [
        list(_intervals(metric, setting, resamples, number))
        for number in range(first, first + data_sets)
    ]
    rows = []
    for method, column in zip((*METHODS, CLOSED), zip(*found, strict=True), strict=True):
        known = [own for own, _ in column if own is not None]
        paired = [difference for _, difference in column if difference is not None]
        rows.append(
            Coverage(
                metric,
                setting,
                method,
                float(np.mean([own.low <= value <= own.high for own in known])),
                len(known) / data_sets,
                float(np.median([own.high - own.low for own in known])),
                float(np.mean([difference.p < 1 - LEVEL for difference in paired])),
            )
        )
    return rows


def _intervals(
    metric: str, setting: Setting, resamples: int, number: int
) -> Iterator[tuple[Interval | None, Interval | None]]:
    """By each method: of one arm, and of its difference from an equal one."""
    found = find_metric(metric)
    rng = np.random.default_rng([number, setting.n_cases])
    cases, arms = WORLDS[found.needs](rng, setting, 2)
    statistic = found.build(cases, arms)
    base = {metric: "arm1"}
    sides = [(metric, "arm0", None), (metric, "arm0", "arm1")]
    n_patients = len(cases.patients)
    estimates = bootstrap([statistic], base, arms, n_patients, resamples, number)
    left_out = bootstrap([statistic], base, arms, n_patients, 1, 0, {metric: BCA})
    scales = (found.scale, IDENTITY)
    for method in (*METHODS, CLOSED):
        yield tuple(  # type: ignore[misc]
            _interval(replace(estimates[key], left_out_P=left_out[key].left_out_P), scale, method)
            if key in estimates
            else None
            for key, scale in zip(sides, scales, strict=True)
        )


def _interval(estimate: Estimate, scale: Scale, method: str) -> Interval | None:
    if method == STUDENTISED:
        return studentised(estimate, scale, LEVEL)
    if method == CLOSED:
        return clustered_t(estimate, scale, LEVEL)
    return (bca if method == BCA else percentile)(estimate, scale, LEVEL)
