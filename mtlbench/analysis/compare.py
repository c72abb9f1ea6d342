"""Tables of estimates and paired differences from anyone's predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mtlbench.analysis.align import Arm, align
from mtlbench.analysis.bootstrap import Key, bootstrap
from mtlbench.analysis.frame import Floats
from mtlbench.analysis.intervals import (
    IDENTITY,
    LOGIT,
    NO_VARIANCE,
    Estimate,
    Interval,
    Scale,
    clustered_t,
    holm,
    seeds_by_cases,
    studentised,
)
from mtlbench.analysis.statistic import METRICS, Statistic, build
from mtlbench.errors import StudyError

MIN_SEEDS = 3
"""From here on seeds are a random sample of trainings."""
MIN_PATIENTS = 20
"""Below this many patients with a positive (or negative, or of a class) intervals are unsafe."""
MAX_UNDEFINED = 0.01
MIN_RESAMPLES = 100

ESTIMATE_COLUMNS = [
    *("arm", "metric", "value", "low", "high", "level", "method", "se"),
    *("n_patients", "n_cases", "n_positive", "n_negative", "n_resamples", "n_undefined"),
    *("closed_low", "closed_high", "closed_se", "n_seeds", "seed_sd", "reliable"),
]
COMPARISON_COLUMNS = [
    *("arm", "baseline", "metric", "difference", "low", "high", "p", "p_adjusted", "method"),
    "reliable",
]
BOOTSTRAP = "studentised patient bootstrap"
Row = dict[str, Any]

ORH = "seeds x cases (Obuchowski-Rockette-Hillis)"


@dataclass(frozen=True)
class Comparison:
    """What `compare` returns; a value that cannot be estimated is NaN, its reason in `warnings`."""

    estimates: pd.DataFrame
    comparisons: pd.DataFrame
    warnings: list[str]
    classes: dict[str, tuple[str, ...]]
    """Metric → names of the classes that it averages, for a footnote."""


def compare(
    frames: Mapping[str, pd.DataFrame],
    *,
    baseline: str | Mapping[str, str] | None = None,
    metrics: Sequence[str] = ("auc",),
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
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

    Raises:
        DataError: where a table is faulty or the arms' test cases differ.
        StudyError: where an argument is.

    """
    metrics = tuple(dict.fromkeys(metrics))
    bases = _baselines(frames, baseline, metrics)
    _check_numbers(level, resamples, seed)
    dice = [metric for metric in metrics if metric != "auc"]
    cases, arms = align(frames, scores="auc" in metrics, masks=bool(dice))
    statistics = [build(metric, cases, arms) for metric in metrics]
    found = bootstrap(statistics, bases, arms, len(cases.patients), resamples, seed)
    estimates, comparisons, warnings = [], [], []
    for statistic in statistics:
        warnings += _notes(statistic)
        for arm in arms:
            row, reasons = _estimate_row(statistic, arm, found, level, resamples)
            estimates.append(row)
            warnings += reasons
        rows, reasons = _comparison_rows(statistic, arms, bases, found, level)
        comparisons += rows
        warnings += reasons
    return Comparison(
        pd.DataFrame(estimates, columns=ESTIMATE_COLUMNS),
        pd.DataFrame(comparisons, columns=COMPARISON_COLUMNS),
        warnings + _few_seeds(arms),
        {statistic.metric: statistic.classes for statistic in statistics if statistic.classes},
    )


def _baselines(
    frames: Mapping[str, pd.DataFrame],
    baseline: str | Mapping[str, str] | None,
    metrics: Sequence[str],
) -> dict[str, str]:
    if not frames:
        raise StudyError("compare needs at least one arm")
    bases = {} if baseline is None else baseline
    if isinstance(bases, str):
        bases = dict.fromkeys(metrics, bases)
    if unknown := [name for name in (*metrics, *bases) if name not in METRICS]:
        raise StudyError(f"a metric must be one of {', '.join(METRICS)}, but got {unknown[0]!r}")
    if unknown := [name for name in bases.values() if name not in frames]:
        raise StudyError(f"baseline must be one of {list(frames)}, but got {unknown[0]!r}")
    return {metric: bases[metric] for metric in metrics if metric in bases}


def _check_numbers(level: float, resamples: int, seed: int) -> None:
    if not 0 < level < 1:
        raise StudyError(f"level must be between 0 and 1, but got {level}")
    if resamples < MIN_RESAMPLES:
        raise StudyError(f"resamples must be >= {MIN_RESAMPLES}, but got {resamples}")
    if seed < 0:
        raise StudyError(f"seed must be >= 0, but got {seed}")


def _interval(estimate: Estimate, scale: Scale, level: float) -> tuple[Interval | None, str]:
    """Seeds as random readers where there are enough of them, else the trained models as given."""
    if estimate.value_S.size >= MIN_SEEDS:
        return seeds_by_cases(estimate, scale, level), ORH + scale.suffix
    return studentised(estimate, scale, level), BOOTSTRAP + scale.suffix


def _estimate_row(
    statistic: Statistic,
    arm: Arm,
    found: Mapping[Key, Estimate],
    level: float,
    resamples: int,
) -> tuple[Row, list[str]]:
    row: Row = {
        "arm": arm.name,
        "metric": statistic.metric,
        "level": level,
        "n_patients": statistic.n_patients,
        "n_cases": statistic.n_cases,
        "n_positive": statistic.n_positive,
        "n_negative": statistic.n_negative,
        "n_resamples": resamples,
        "n_undefined": 0,
        "n_seeds": len(arm.seeds),
        "reliable": False,
    }
    title = f"{statistic.metric}, {arm.name}"
    estimate = found.get((statistic.metric, arm.name, None))
    if estimate is None:
        return row, [f"{title}: no value: {statistic.reasons[arm.name]}"]
    interval, row["method"] = _interval(estimate, LOGIT, level)
    closed = clustered_t(estimate, LOGIT, level)
    row |= {
        "value": estimate.value,
        "se": _spread(estimate.value_B),
        "n_undefined": estimate.n_undefined,
        "seed_sd": _spread(estimate.value_S),
        "reliable": _reliable(statistic, estimate),
    }
    if closed is not None:
        row |= {"closed_low": closed.low, "closed_high": closed.high}
        row["closed_se"] = float(np.sqrt(estimate.variance))
    if interval is None:
        return row, [f"{title}: no interval: {_why_none(estimate)}"]
    row |= {"low": interval.low, "high": interval.high}
    return row, _undefined(title, estimate)


def _comparison_rows(
    statistic: Statistic,
    arms: Sequence[Arm],
    bases: Mapping[str, str],
    found: Mapping[Key, Estimate],
    level: float,
) -> tuple[list[Row], list[str]]:
    base = bases.get(statistic.metric)
    rows: list[Row] = []
    warnings: list[str] = []
    for arm in arms:
        if base is None or arm.name == base:
            continue
        row: Row = {"arm": arm.name, "baseline": base, "metric": statistic.metric}
        sides = [found.get((statistic.metric, name, None)) for name in (arm.name, base)]
        title = f"{statistic.metric}, {arm.name} - {base}"
        estimate = found.get((statistic.metric, arm.name, base))
        if estimate is None:
            warnings.append(f"{title}: no difference: one of the two has no value")
        else:
            numbers, reasons = _difference(title, estimate, level)
            row |= numbers
            warnings += reasons
        row["reliable"] = all(
            one is not None and _reliable(statistic, one) for one in (*sides, estimate)
        )
        rows.append(row)
    adjusted = holm([row.get("p", np.nan) for row in rows])
    return [row | {"p_adjusted": p} for row, p in zip(rows, adjusted, strict=True)], warnings


def _difference(title: str, estimate: Estimate, level: float) -> tuple[Row, list[str]]:
    interval, method = _interval(estimate, IDENTITY, level)
    row: Row = {"difference": estimate.value, "method": method}
    if estimate.value == 0 and estimate.variance <= NO_VARIANCE:
        equal = f"{title}: equal for every patient: difference 0, p 1, no interval"
        return row | {"p": 1.0}, [equal]
    if interval is None:
        return row, [f"{title}: no interval: {_why_none(estimate)}"]
    warnings = _undefined(title, estimate)
    if np.isnan(estimate.value_S).any():
        warnings.append(f"{title}: other seeds: the interval holds for these trained models only")
    return row | {"low": interval.low, "high": interval.high, "p": interval.p}, warnings


def _spread(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.std(ddof=1)) if finite.size > 1 else np.nan


def _reliable(statistic: Statistic, estimate: Estimate) -> bool:
    """Whether neither of the warnings applies that an interval may be wrong."""
    return statistic.scarce[1] >= MIN_PATIENTS and _share(estimate) <= MAX_UNDEFINED


def _share(estimate: Estimate) -> float:
    """Undefined resamples as a fraction of all."""
    return estimate.n_undefined / estimate.value_B.size


def _undefined(title: str, estimate: Estimate) -> list[str]:
    share = _share(estimate)
    if share <= MAX_UNDEFINED:
        return []
    return [
        f"{title}: {share:.1%} of the resamples are undefined (a class or all variation is "
        "missing) and left out: the interval may be too narrow"
    ]


def _why_none(estimate: Estimate) -> str:
    if estimate.df < 1:
        return "it needs at least two patients of each kind"
    if estimate.value in (0, 1):
        return f"not estimable at {estimate.value:.0f}"
    if estimate.variance <= NO_VARIANCE:
        return "no variation between patients"
    return "most resamples are undefined or equal, or the seeds do not vary"


def _notes(statistic: Statistic) -> list[str]:
    """Say what limits a metric for every arm."""
    notes = [f"{statistic.metric}: {note}" for note in statistic.notes]
    what, n_patients = statistic.scarce
    if statistic.kernels and n_patients < MIN_PATIENTS:
        notes.append(
            f"{statistic.metric}: only {n_patients} test patients have {what}: with fewer than "
            f"{MIN_PATIENTS} the true coverage of the intervals may be below their level"
        )
    return notes


def _few_seeds(arms: Sequence[Arm]) -> list[str]:
    few = [arm.name for arm in arms if len(arm.seeds) < MIN_SEEDS]
    if not few:
        return []
    return [f"these trained models only (fewer than {MIN_SEEDS} seeds): {', '.join(few)}"]
