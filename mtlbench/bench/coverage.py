"""How often an interval holds the true value, and how often equal arms are told apart.

Every metric by each of our methods on simulated test sets; docs/coverage.md has the tables.
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
    STUDENTISED,
    Estimate,
    Interval,
    Scale,
    by_method,
    clustered_t,
)
from mtlbench.analysis.multiplicity import holm
from mtlbench.analysis.rows import doubts
from mtlbench.analysis.seeds import MIN_SEEDS, seeds_by_cases
from mtlbench.bench.measure import Result, Row
from mtlbench.bench.simulate import Setting, make_test_set, truth

LEVEL, TOLERANCE = 0.95, 0.02
CLOSED, SEEDS = "closed", "seeds x cases"
DATA_SETS, RESAMPLES = 2_000, 400
FAMILY, FAMILY_RESAMPLES = 10, 1_000
"""Arms against a baseline; a p below 0.05 / 10 takes more resamples."""
MOST_LEFT_OUT = 300
"""Patients up to which BCa, which evaluates the metric without each of them, is measured too."""

SETTINGS = [
    *(Setting(n, clustered=clustered) for n in (100, 300, 1000) for clustered in (False, True)),
    Setting(100, prevalence=0.1),
    Setting(300, prevalence=0.1),
    Setting(100, seeds=3),
    Setting(300, seeds=3),
]
HARDER = {
    "auc": [Setting(100, auc=0.95), Setting(300, auc=0.95)],
    "dice": [
        *(Setting(n, uneven=1.5) for n in (100, 300)),
        *(Setting(100, uneven=1.5, seeds=seeds) for seeds in (3, 5)),
        *(Setting(n, giants=0.03) for n in (100, 300)),
    ],
    "dice_any": [Setting(n, prevalence=0.1, giants=0.03) for n in (100, 300)],
    "ece": [
        *(Setting(300, overconfident=factor) for factor in (1.0, 2.5)),
        *(Setting(300, overconfident=1.0, seeds=seeds) for seeds in (3, 5)),
    ],
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
    marked: float
    """Data sets whose interval is called unreliable."""


def coverage(metric: str, setting: Setting, data_sets: int, resamples: int) -> list[Coverage]:
    """Measure all methods on the same data sets."""
    value = truth(metric, setting)
    found = [dict(_tried(metric, setting, resamples, k)) for k in range(data_sets)]
    rows = []
    for method in methods_of(setting):
        all_tried = [by_method[method] for by_method in found]
        known = [one.own for one in all_tried if one.own is not None]
        paired = [one.difference for one in all_tried if one.difference is not None]
        rows.append(
            Coverage(
                method,
                float(np.mean([own.low <= value <= own.high for own in known])),
                len(known) / data_sets,
                float(np.median([own.high - own.low for own in known])),
                float(np.mean([difference.p < 1 - LEVEL for difference in paired])),
                float(np.mean([not one.reliable for one in all_tried])),
            )
        )
    return rows


class _Tried(NamedTuple):
    """By one method, on one data set."""

    own: Interval | None
    difference: Interval | None
    """From an equal arm."""
    reliable: bool


def _tried(
    metric: str, setting: Setting, resamples: int, number: int
) -> Iterator[tuple[str, _Tried]]:
    found = find_metric(metric)
    rng = np.random.default_rng([number, setting.n_cases])
    cases, arms = make_test_set(metric, rng, setting, 2)
    statistic = found.build(cases, arms)
    n_patients, base = len(cases.patients), {metric: "arm1"}
    estimates = bootstrap([statistic], base, arms, n_patients, resamples, number)
    if BCA in methods_of(setting):
        left_out = bootstrap([statistic], base, arms, n_patients, 1, 0, {metric: BCA})
        estimates = {
            key: replace(one, left_out_P=left_out[key].left_out_P) for key, one in estimates.items()
        }
    own, difference = (estimates.get((metric, "arm0", other)) for other in (None, "arm1"))
    for method in methods_of(setting):
        yield (
            method,
            _Tried(
                _interval(own, found.scale, method),
                _interval(difference, IDENTITY, method),
                own is not None and not doubts(statistic, own),
            ),
        )


def methods_of(setting: Setting) -> tuple[str, ...]:
    """Those that are measured: from three seeds on seeds x cases, and what takes them as given."""
    if setting.seeds >= MIN_SEEDS:
        return SEEDS, STUDENTISED, CLOSED
    few = setting.n_cases <= MOST_LEFT_OUT
    return (*(method for method in METHODS if few or method != BCA), CLOSED)


def _interval(estimate: Estimate | None, scale: Scale, method: str) -> Interval | None:
    if estimate is None:
        return None
    if method == CLOSED:
        return clustered_t(estimate, scale, LEVEL)
    if method == SEEDS:
        return seeds_by_cases(estimate, scale, LEVEL)
    return by_method(estimate, scale, LEVEL, method)


def family_error(metric: str, setting: Setting, data_sets: int) -> float:
    """How often any of ten arms is told from an equal baseline after Holm's correction."""
    found, wrong = find_metric(metric), 0
    for number in range(data_sets):
        rng = np.random.default_rng([number, setting.n_cases, FAMILY])
        cases, arms = make_test_set(metric, rng, setting, FAMILY + 1)
        statistic = found.build(cases, arms)
        estimates = bootstrap(
            [statistic], {metric: "arm0"}, arms, len(cases.patients), FAMILY_RESAMPLES, number
        )
        tests = [_interval(one, IDENTITY, found.method) for key, one in estimates.items() if key[2]]
        wrong += min(holm([test.p for test in tests if test is not None])) < 1 - LEVEL
    return wrong / data_sets


def run() -> Result:
    """Measure every metric in every setting; about three hours on two cores."""
    jobs = [(m, setting) for m in METRICS for setting in [*SETTINGS, *HARDER.get(m, [])]]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        rows = list(pool.map(_row, jobs))
        rows += pool.map(_family_row, ["auc", "dice_any"])
    noise = float(np.sqrt(LEVEL * (1 - LEVEL) / DATA_SETS))
    return Result(noise, rows)


def _row(job: tuple[str, Setting]) -> Row:
    metric, setting = job
    measured = coverage(metric, setting, DATA_SETS, RESAMPLES)
    default = SEEDS if setting.seeds >= MIN_SEEDS else find_metric(metric).method
    own = next(one for one in measured if one.method == default)
    return Row(
        f"{metric}: {setting}",
        _words(measured),
        abs(own.covered - LEVEL),
        "distance from 95 %",
        TOLERANCE,
    )


def _words(measured: Sequence[Coverage]) -> str:
    methods = "; ".join(
        f"{one.method} {one.covered:.1%} (width {one.width:.3f}, size {one.rejected:.1%}"
        + (f", in {one.estimable:.1%} of data sets)" if one.estimable < 1 else ")")
        for one in measured
    )
    marked = measured[0].marked
    return methods + (f"; called unreliable in {marked:.1%} of data sets" if marked else "")


def _family_row(metric: str) -> Row:
    setting = Setting(300)
    error = family_error(metric, setting, DATA_SETS // 2)
    words = f"any of {FAMILY} equal arms told from the baseline after Holm"
    return Row(f"family: {metric}: {setting}", words, error, "family-wise error", 0.06)
