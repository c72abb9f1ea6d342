"""How often an interval holds the true value, and how often equal arms are told apart.

Every metric by each of our methods on simulated test sets; docs/statistics.md has the table.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np

from mtlbench.analysis import METRICS, find_metric
from mtlbench.analysis.bootstrap import bootstrap
from mtlbench.analysis.intervals import (
    BCA,
    IDENTITY,
    METHODS,
    Estimate,
    Interval,
    Scale,
    by_method,
    clustered_t,
)
from mtlbench.analysis.multiplicity import holm
from mtlbench.bench.measure import Result, Row
from mtlbench.bench.simulate import WORLDS, Setting, truth

LEVEL, TOLERANCE = 0.95, 0.02
CLOSED = "closed"
DATA_SETS, RESAMPLES = 2_000, 400
FAMILY, FAMILY_RESAMPLES = 10, 1_000
"""Arms against a baseline; a p below 0.05 / 10 takes more resamples."""
MOST_LEFT_OUT = 300
"""Patients up to which BCa, which evaluates the metric without each of them, is measured too."""

SETTINGS = [
    *(Setting(n, clustered=clustered) for n in (100, 300, 1000) for clustered in (False, True)),
    Setting(100, prevalence=0.1),
    Setting(300, prevalence=0.1),
]
HARDER = {
    "auc": [Setting(100, auc=0.95), Setting(300, auc=0.95)],
    "dice": [Setting(100, uneven=1.5), Setting(300, uneven=1.5)],
    "ece": [Setting(300, overconfident=1.0), Setting(300, overconfident=2.5)],
}


class Coverage(NamedTuple):
    """Of one method: its intervals of a metric, and the p-values of equal arms."""

    method: str
    covered: float
    """Of the data sets with an interval."""
    estimable: float
    """Data sets with an interval."""
    width: float
    """Median."""
    rejected: float
    """Differences of two equal arms with p < 0.05."""


def coverage(metric: str, setting: Setting, data_sets: int, resamples: int) -> list[Coverage]:
    """Measure all methods on the same data sets."""
    value = truth(metric, setting)
    found = [dict(_intervals(metric, setting, resamples, k)) for k in range(data_sets)]
    rows = []
    for method in found[0]:
        known, paired = (
            [side for both in found if (side := both[method][place]) is not None]
            for place in (0, 1)
        )
        rows.append(
            Coverage(
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
) -> Iterator[tuple[str, list[Interval | None]]]:
    """By each method: of one arm, and of its difference from an equal one."""
    found = find_metric(metric)
    cases, arms = WORLDS[found.needs](np.random.default_rng([number, setting.n_cases]), setting, 2)
    statistic = found.build(cases, arms)
    n_patients, base = len(cases.patients), {metric: "arm1"}
    estimates = bootstrap([statistic], base, arms, n_patients, resamples, number)
    sides = [(metric, "arm0", None), (metric, "arm0", "arm1")]
    left_out = {}
    if setting.n_cases <= MOST_LEFT_OUT:
        left_out = bootstrap([statistic], base, arms, n_patients, 1, 0, {metric: BCA})
    for method in (*METHODS, CLOSED):
        if method == BCA and setting.n_cases > MOST_LEFT_OUT:
            continue
        intervals = []
        for key, scale in zip(sides, (found.scale, IDENTITY), strict=True):
            estimate = estimates.get(key)
            if estimate is not None and key in left_out:
                estimate = replace(estimate, left_out_P=left_out[key].left_out_P)
            intervals.append(None if estimate is None else _interval(estimate, scale, method))
        yield method, intervals


def _interval(estimate: Estimate, scale: Scale, method: str) -> Interval | None:
    if method == CLOSED:
        return clustered_t(estimate, scale, LEVEL)
    return by_method(estimate, scale, LEVEL, method)


def family_error(metric: str, setting: Setting, data_sets: int) -> float:
    """How often any of ten arms is told from an equal baseline after Holm's correction."""
    found, wrong = find_metric(metric), 0
    for number in range(data_sets):
        rng = np.random.default_rng([number, setting.n_cases, FAMILY])
        cases, arms = WORLDS[found.needs](rng, setting, FAMILY + 1)
        statistic = found.build(cases, arms)
        estimates = bootstrap(
            [statistic], {metric: "arm0"}, arms, len(cases.patients), FAMILY_RESAMPLES, number
        )
        tests = [_interval(one, IDENTITY, found.method) for key, one in estimates.items() if key[2]]
        wrong += min(holm([test.p for test in tests if test is not None])) < 1 - LEVEL
    return wrong / data_sets


def run() -> Result:
    """Measure every metric in every setting; about an hour and a half on two cores."""
    jobs = [(m, setting) for m in METRICS for setting in [*SETTINGS, *HARDER.get(m, [])]]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        rows = list(pool.map(_row, jobs))
        rows += pool.map(_family_row, ["auc", "dice_any"])
    noise = float(np.sqrt(LEVEL * (1 - LEVEL) / DATA_SETS))
    return Result(noise, rows)


def _row(job: tuple[str, Setting]) -> Row:
    metric, setting = job
    measured = coverage(metric, setting, DATA_SETS, RESAMPLES)
    own = next(one for one in measured if one.method == find_metric(metric).method)
    return Row(
        f"{metric}: {setting}",
        _words(measured),
        abs(own.covered - LEVEL),
        "distance from 95 %",
        TOLERANCE,
    )


def _words(measured: Sequence[Coverage]) -> str:
    return "; ".join(
        f"{one.method} {one.covered:.1%} (width {one.width:.3f}, size {one.rejected:.1%}"
        + (f", in {one.estimable:.1%} of data sets)" if one.estimable < 1 else ")")
        for one in measured
    )


def _family_row(metric: str) -> Row:
    setting = Setting(300)
    error = family_error(metric, setting, DATA_SETS // 2)
    words = f"any of {FAMILY} equal arms told from the baseline after Holm"
    return Row(f"family: {metric}: {setting}", words, error, "family-wise error", 0.06)
