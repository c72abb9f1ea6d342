"""Rows of the two tables of a comparison, and in words what limits them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mtlbench.analysis.align import Arm
from mtlbench.analysis.bootstrap import Key
from mtlbench.analysis.frame import Floats
from mtlbench.analysis.intervals import (
    BCA,
    IDENTITY,
    NO_VARIANCE,
    PERCENTILE,
    STUDENTISED,
    Estimate,
    Interval,
    Scale,
    by_method,
    clustered_t,
)
from mtlbench.analysis.metric import Metric
from mtlbench.analysis.multiplicity import ADJUSTMENTS
from mtlbench.analysis.seeds import MIN_SEEDS, seeds_by_cases
from mtlbench.analysis.statistic import Statistic
from mtlbench.config import CLASSES

MIN_PATIENTS = 20
"""Below this many patients with a positive (or negative, or of a class) intervals are unsafe."""
MIN_EFFECTIVE = 10
"""Patients that a pooled Dice must rest on, all lesion classes together; see `_dominated`."""
MAX_UNDEFINED = 0.01
"""Share of the resamples."""
FEW_PATIENTS = "too few patients"
FEW_LESIONS = "a few large lesions that dominate the pooled Dice"
UNDEFINED = "undefined resamples"
DOUBTS = (FEW_PATIENTS, FEW_LESIONS, UNDEFINED)
"""Why an interval may be wrong."""

ESTIMATE_COLUMNS = [
    *("arm", "metric", "value", "low", "high", "level", "method", "se"),
    *("n_patients", "n_cases", "n_positive", "n_negative", "n_resamples", "n_undefined"),
    *("closed_low", "closed_high", "closed_se", "n_seeds", "seed_sd", "reliable", "doubts"),
]
COMPARISON_COLUMNS = [
    *("arm", "baseline", "metric", "difference", "low", "high", "p", "p_adjusted", "method"),
    *("reliable", "doubts", "margin", "p_noninferior"),
]
NAMES = {
    STUDENTISED: "studentised patient bootstrap",
    BCA: "BCa patient bootstrap",
    PERCENTILE: "percentile patient bootstrap",
}
ORH = "seeds × cases (Obuchowski-Rockette-Hillis)"
Row = dict[str, Any]


@dataclass(frozen=True)
class Rules:
    """How every row is made."""

    level: float
    method: str | None
    """Of every interval; None: each metric's default, and seeds as random where there are three."""
    adjust: str
    margins: Mapping[str, float]


def _interval(
    estimate: Estimate, metric: Metric, scale: Scale, rules: Rules
) -> tuple[Interval | None, str]:
    """Seeds as random readers where there are enough of them, else the trained models as given."""
    if rules.method is None and estimate.n_seeds >= MIN_SEEDS:
        return seeds_by_cases(estimate, scale, rules.level), ORH + scale.suffix
    method = rules.method or metric.method
    name = NAMES[method] + (scale.suffix if method == STUDENTISED else "")
    return by_method(estimate, scale, rules.level, method), name


def estimate_row(
    metric: Metric,
    statistic: Statistic,
    arm: Arm,
    found: Mapping[Key, Estimate],
    rules: Rules,
    resamples: int,
) -> tuple[Row, list[str]]:
    """One arm under one metric, and what limits the number."""
    row: Row = {
        "arm": arm.name,
        "metric": statistic.metric,
        "level": rules.level,
        "n_patients": statistic.n_patients,
        "n_cases": statistic.n_cases,
        "n_positive": statistic.n_positive,
        "n_negative": statistic.n_negative,
        "n_resamples": resamples,
        "n_undefined": 0,
        "n_seeds": len(arm.seeds),
        **_reliability([None]),
    }
    title = f"{statistic.metric}, {arm.name}"
    estimate = found.get((statistic.metric, arm.name, None))
    if estimate is None:
        return row, [f"{title}: no value: {statistic.reasons[arm.name]}"]
    interval, row["method"] = _interval(estimate, metric, metric.scale, rules)
    closed = clustered_t(estimate, metric.scale, rules.level)
    row |= {
        "value": metric.scale.clipped(estimate.value),
        "se": _spread(estimate.value_B),
        "n_undefined": estimate.n_undefined,
        "seed_sd": _spread(estimate.value_S),
        **_reliability([doubts(statistic, estimate)]),
    }
    if closed is not None:
        row |= {"closed_low": closed.low, "closed_high": closed.high}
        row["closed_se"] = float(np.sqrt(estimate.variance))
    if interval is None:
        return row, [f"{title}: no interval: {_why_none(estimate)}"]
    row |= {"low": interval.low, "high": interval.high}
    return row, _undefined(title, estimate)


def comparison_rows(
    metric: Metric,
    statistic: Statistic,
    arms: Sequence[Arm],
    bases: Mapping[str, str],
    found: Mapping[Key, Estimate],
    rules: Rules,
) -> tuple[list[Row], list[str]]:
    """Every arm against the baseline of one metric, adjusted together, and what limits them."""
    base = bases.get(statistic.metric)
    rows: list[Row] = []
    warnings: list[str] = []
    for arm in arms:
        if base is None or arm.name == base:
            continue
        row: Row = {"arm": arm.name, "baseline": base, "metric": statistic.metric}
        row["margin"] = rules.margins.get(metric.name)
        sides = [found.get((statistic.metric, name, None)) for name in (arm.name, base)]
        title = f"{statistic.metric}, {arm.name} - {base}"
        estimate = found.get((statistic.metric, arm.name, base))
        if estimate is None:
            warnings.append(f"{title}: no difference: one of the two has no value")
        else:
            numbers, reasons = _difference(title, estimate, metric, rules)
            row |= numbers
            warnings += reasons
            if any(one and one.value < metric.scale.least for one in sides):
                warnings.append(
                    f"{title}: an arm's value is below {metric.scale.least:.0f} and shown as "
                    f"{metric.scale.least:.0f}; the difference is of the values as they are"
                )
        row |= _reliability(
            [None if one is None else doubts(statistic, one) for one in (*sides, estimate)]
        )
        rows.append(row)
    adjusted = ADJUSTMENTS[rules.adjust]([row.get("p", np.nan) for row in rows])
    return [row | {"p_adjusted": p} for row, p in zip(rows, adjusted, strict=True)], warnings


def _difference(
    title: str, estimate: Estimate, metric: Metric, rules: Rules
) -> tuple[Row, list[str]]:
    interval, method = _interval(estimate, metric, IDENTITY, rules)
    row: Row = {"difference": estimate.value, "method": method}
    if estimate.value == 0 and estimate.variance <= NO_VARIANCE:
        equal = f"{title}: equal for every patient: difference 0, p 1, no interval"
        least = 1 / (estimate.value_B.size + 1) if metric.name in rules.margins else None
        return row | {"p": 1.0, "p_noninferior": least}, [equal]
    if interval is None:
        return row, [f"{title}: no interval: {_why_none(estimate)}"]
    warnings = _undefined(title, estimate)
    if estimate.n_base:
        random = "each arm's are a sample of their own, not paired"
        fixed = "the interval holds for these trained models only"
        warnings.append(f"{title}: other seeds: {random if method.startswith(ORH) else fixed}")
    row |= {"low": interval.low, "high": interval.high, "p": interval.p}
    return row | {"p_noninferior": _noninferior(estimate, metric, rules)}, warnings


def _noninferior(estimate: Estimate, metric: Metric, rules: Rules) -> float | None:
    """One-sided p of being worse by the margin: the interval of the difference, moved by it."""
    margin = rules.margins.get(metric.name)
    if margin is None:
        return None
    shift = margin if metric.higher_is_better else -margin
    moved = replace(
        estimate,
        value=estimate.value + shift,
        value_S=estimate.value_S + shift,
        value_B=estimate.value_B + shift,
        centre=None if estimate.centre is None else estimate.centre + shift,
        left_out_P=None if estimate.left_out_P is None else estimate.left_out_P + shift,
    )
    interval, _ = _interval(moved, metric, IDENTITY, rules)
    if interval is None:
        return None
    better = (moved.value > 0) == metric.higher_is_better
    return interval.p / 2 if better else 1 - interval.p / 2


def _spread(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.std(ddof=1)) if finite.size > 1 else np.nan


def doubts(statistic: Statistic, estimate: Estimate) -> tuple[str, ...]:
    """Those of `DOUBTS` that apply to an interval."""
    found = {
        FEW_PATIENTS: statistic.scarce[1] < MIN_PATIENTS,
        FEW_LESIONS: _dominated(statistic),
        UNDEFINED: _share(estimate) > MAX_UNDEFINED,
    }
    return tuple(doubt for doubt, applies in found.items() if applies)


def _reliability(sides: Sequence[tuple[str, ...] | None]) -> Row:
    """Columns `reliable` and `doubts` from the doubts of every side; None: it has no value."""
    found = {doubt for side in sides for doubt in side or ()}
    words = "; ".join(doubt for doubt in DOUBTS if doubt in found)
    return {"reliable": not found and None not in sides, "doubts": words}


def _dominated(statistic: Statistic) -> bool:
    """Whether a pooled Dice is that of a few large lesions, so that others would give another.

    A class is a part of the mean: of four lesion classes each needs a fourth of the patients.
    """
    lesions = sum(name != CLASSES[0] for name in statistic.classes)
    return 0 < lesions * statistic.effective[1] < MIN_EFFECTIVE


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
    if estimate.no_interval:
        return estimate.no_interval
    if estimate.df < 1:
        return "it needs at least two patients of each kind"
    if estimate.value in (0, 1):
        return f"not estimable at {estimate.value:.0f}"
    if estimate.variance <= NO_VARIANCE:
        return "no variation between patients"
    return "most resamples are undefined or equal, or the seeds do not vary"


def notes(statistic: Statistic) -> list[str]:
    """Say what limits a metric for every arm."""
    notes = [f"{statistic.metric}: {note}" for note in statistic.notes]
    what, n_patients = statistic.scarce
    if statistic.kernels and n_patients < MIN_PATIENTS:
        who = "patient has" if n_patients == 1 else "patients have"
        notes.append(
            f"{statistic.metric}: only {n_patients} test {who} {what}: with fewer than "
            f"{MIN_PATIENTS} the true coverage of the intervals may be below their level"
        )
    if statistic.kernels and _dominated(statistic):
        name, effective = statistic.effective
        notes.append(
            f"{statistic.metric}: a few large lesions dominate {name}: its pixels weigh as those "
            f"of {effective:.1f} patients with equal areas, so the true coverage of the intervals "
            "may be below their level (dice_image weighs images alike)"
        )
    return notes


def few_seeds(arms: Sequence[Arm], rules: Rules) -> list[str]:
    """Say that intervals speak of the trained models alone, where they do."""
    if rules.method is not None:
        return [f"these trained models only ({NAMES[rules.method]} asked for)"]
    few = [arm.name for arm in arms if len(arm.seeds) < MIN_SEEDS]
    if not few:
        return []
    return [f"these trained models only (fewer than {MIN_SEEDS} seeds): {', '.join(few)}"]
