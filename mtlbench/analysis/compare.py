"""Tables of estimates and paired differences from anyone's predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from mtlbench.analysis.align import Arm, align
from mtlbench.analysis.bootstrap import Key, bootstrap
from mtlbench.analysis.findings import Findings
from mtlbench.analysis.intervals import METHODS, Estimate
from mtlbench.analysis.metric import Metric, find_metric
from mtlbench.analysis.multiplicity import ADJUSTMENTS
from mtlbench.analysis.rows import (
    COMPARISON_COLUMNS,
    ESTIMATE_COLUMNS,
    Rules,
    comparison_rows,
    estimate_row,
    few_seeds,
    notes,
)
from mtlbench.config import fewest_resamples
from mtlbench.errors import StudyError


@dataclass(frozen=True)
class Comparison:
    """What `compare` returns; a value that cannot be estimated is NaN, its reason in `warnings`."""

    estimates: pd.DataFrame
    comparisons: pd.DataFrame
    warnings: list[str]
    classes: dict[str, tuple[str, ...]]
    """Metric → names of the classes that it averages, for a footnote."""
    seeds: pd.DataFrame
    """Columns `arm`, `metric`, `seed`, `value`: what each seed alone gives."""


def compare(
    frames: Mapping[str, pd.DataFrame],
    *,
    baseline: str | Mapping[str, str] | None = None,
    metrics: Sequence[str] = ("auc",),
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    method: str | None = None,
    adjust: str = "holm",
    margins: Mapping[str, float] | None = None,
    findings: Mapping[str, Findings] | None = None,
) -> Comparison:
    """Estimate each metric of each arm with its interval, and its difference from the baseline.

    Args:
        frames: name → table with the columns of `predictions.csv`; rows with `split == "test"`,
            or all where there is no such column. Columns `seed` and `fold` are optional.
        baseline: the arm to compare with, or one per metric; None: no comparisons.
        metrics: names from `METRICS`.
        level: of the intervals.
        resamples: bootstrap draws of patients, the same for all arms, seeds and metrics.
        seed: of the draws; nothing else is random.
        method: `studentised`, `bca` or `percentile` for all intervals, which then hold for these
            trained models only; None: the default of each metric, with seeds taken as random where
            an arm has three or more.
        adjust: p-values over all arms within one metric by `holm` (family-wise error) or `bh`
            (false discovery rate, for exploration).
        margins: metric → how much worse than the baseline an arm may be and still count as not
            inferior; `p_noninferior` is one-sided and inverts the same interval.
        findings: name → lesions and candidates, which `froc` needs.

    Raises:
        DataError: where a table is faulty or the arms' test cases differ.
        StudyError: where an argument is.

    """
    wanted = [find_metric(name) for name in dict.fromkeys(metrics)]
    bases = _baselines(frames, baseline, wanted)
    rules = _rules(level, method, adjust, margins or {}, wanted)
    check_numbers(level, resamples, seed)
    needs = {metric.needs for metric in wanted}
    cases, arms = align(
        frames,
        scores="scores" in needs,
        masks=bool(needs & {"masks", "findings"}),
        findings=findings if "findings" in needs else None,
    )
    statistics = [metric.build(cases, arms) for metric in wanted]
    methods = {metric.name: method or metric.method for metric in wanted}
    found = bootstrap(statistics, bases, arms, len(cases.patients), resamples, seed, methods)
    estimates, comparisons, warnings = [], [], []
    for metric, statistic in zip(wanted, statistics, strict=True):
        warnings += notes(statistic)
        for arm in arms:
            row, reasons = estimate_row(metric, statistic, arm, found, rules, resamples)
            estimates.append(row)
            warnings += reasons
        rows, reasons = comparison_rows(metric, statistic, arms, bases, found, rules)
        comparisons += rows
        warnings += reasons
    return Comparison(
        pd.DataFrame(estimates, columns=ESTIMATE_COLUMNS),
        pd.DataFrame(comparisons, columns=COMPARISON_COLUMNS),
        warnings + few_seeds(arms, rules),
        {statistic.metric: statistic.classes for statistic in statistics if statistic.classes},
        _by_seed(arms, found),
    )


def _by_seed(arms: Sequence[Arm], found: Mapping[Key, Estimate]) -> pd.DataFrame:
    seeds = {arm.name: arm.seeds for arm in arms}
    rows = [
        (arm, metric, seed, value)
        for (metric, arm, base), estimate in found.items()
        if base is None
        for seed, value in zip(seeds[arm], estimate.value_S, strict=True)
    ]
    return pd.DataFrame(rows, columns=["arm", "metric", "seed", "value"])


def _baselines(
    frames: Mapping[str, pd.DataFrame],
    baseline: str | Mapping[str, str] | None,
    metrics: Sequence[Metric],
) -> dict[str, str]:
    if not frames:
        raise StudyError("compare needs at least one arm")
    bases = {} if baseline is None else baseline
    if isinstance(bases, str):
        bases = {metric.name: bases for metric in metrics}
    for name in bases:
        find_metric(name)
    if unknown := [name for name in bases.values() if name not in frames]:
        raise StudyError(f"baseline must be one of {list(frames)}, but got {unknown[0]!r}")
    return {metric.name: bases[metric.name] for metric in metrics if metric.name in bases}


def _rules(
    level: float,
    method: str | None,
    adjust: str,
    margins: Mapping[str, float],
    metrics: Sequence[Metric],
) -> Rules:
    if not 0 < level < 1:
        raise StudyError(f"level must be between 0 and 1, but got {level}")
    if method is not None and method not in METHODS:
        raise StudyError(f"method must be one of {', '.join(METHODS)}, but got {method!r}")
    if adjust not in ADJUSTMENTS:
        raise StudyError(f"adjust must be one of {', '.join(ADJUSTMENTS)}, but got {adjust!r}")
    names = [metric.name for metric in metrics]
    for name, margin in margins.items():
        if name not in names:
            raise StudyError(f"margins: {name!r} must be one of the metrics {', '.join(names)}")
        if not 0 < margin < 1:
            raise StudyError(f"margins: {name} must be between 0 and 1, but got {margin}")
    return Rules(level, method, adjust, margins)


def check_numbers(level: float, resamples: int, seed: int) -> None:
    """Refuse too few resamples and a seed that is none.

    Raises:
        StudyError: always where it refuses.

    """
    fewest = fewest_resamples(level)
    if resamples < fewest:
        raise StudyError(
            f"resamples must be >= {fewest} for intervals of level {level}, but got {resamples}"
        )
    if seed < 0:
        raise StudyError(f"seed must be >= 0, but got {seed}")
