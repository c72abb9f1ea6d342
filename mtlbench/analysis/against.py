"""Our numbers against published ones, by what the source offers; see docs/statistics.md.

The test sets differ, so everything here is unpaired. A standard error is read from an interval,
counted from positives and negatives (AUC), or that of a mean over test cases (Dice); a number that
comes without any of these is a point, and the difference to it is descriptive: no p-value.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scipy import special

from mtlbench.analysis.frame import absent
from mtlbench.analysis.protocol import mismatches
from mtlbench.analysis.published import LAST, PublishedEntry, PublishedRow

CASES = ("patients", "cases", "images", "breasts", "lesions", "masses")
"""What `sd_of` says where a standard deviation is over test cases, not over trainings."""
PUBLISHED_LEVEL = 0.95
"""Of the intervals in the registry."""
DESCRIPTIVE = "descriptive, unpaired: difference to a point, no test"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Against:
    """Ours less theirs on the metric's own scale; None: there is no interval or no test."""

    difference: float
    low: float | None
    high: float | None
    p: float | None
    """Inverts the interval."""
    method: str
    note: str
    """Why what the source offers was not used; empty where it was, or where there is nothing."""


@dataclass(frozen=True)
class _Offer:
    """The standard error that a source offers, its degrees of freedom, and where it comes from."""

    error: float | None
    df: float = math.inf
    method: str = DESCRIPTIVE
    note: str = ""


def against(estimate: Row, row: PublishedRow) -> Against:
    """Compare an estimate of `compare` that has a value with a published number of its metric.

    Args:
        estimate: with `value`, `low`, `high`, `level` and `n_patients`; its own standard error is
            read from its interval, so it holds what that holds (seeds too, where there are three).
        row: the published number. Used is, first come: its interval (on the logit scale for AUC);
            its positives and negatives (AUC: Hanley & McNeil 1982, Radiology 143:29); its SD over
            n test cases (Dice: Welch 1947); else it is a point.
    """
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    difference = value - row.value
    own = None if absent(low) else _logit_error(value, low, high, estimate["level"])
    if own is None:
        return Against(difference, None, None, None, DESCRIPTIVE, "our own value has no interval")
    theirs = _offer(row)
    if theirs.error is None:
        return Against(
            difference, low - row.value, high - row.value, None, DESCRIPTIVE, theirs.note
        )
    error = math.hypot(own, theirs.error)
    df = _welch_df([(own, estimate["n_patients"] - 1), (theirs.error, theirs.df)])
    reach = float(special.stdtrit(df, (1 + estimate["level"]) / 2)) * error
    p = 2 * float(special.stdtr(df, -abs(difference) / error))
    return Against(
        difference, max(difference - reach, -1.0), min(difference + reach, 1.0), p,
        theirs.method, theirs.note,
    )  # fmt: skip


def against_entry(
    estimates: Iterable[Row], entry: PublishedEntry, protocols: Mapping[str, Mapping[str, str]]
) -> list[dict[str, Any]]:
    """Compare each estimate that has a value with each number of its metric in an entry.

    A number is compared with the arm's estimate after the same stage of training; where there is
    none, with the one after the last stage, and `stage` is then among `not_comparable`.

    Args:
        estimates: rows of `compare`, with `arm` and `metric`; `stage` as in `PublishedRow`, the
            last where it is absent.
        entry: of the registry.
        protocols: ours by metric, each as in `mismatches`; the fields found there are
            `not_comparable`, those of them that a side does not state are `not_stated`.
    """
    rows = []
    valued = {_key(one): one for one in estimates if not absent(one["value"])}
    for (arm, metric, stage), estimate in valued.items():
        for row in entry.rows:
            same = (arm, metric, row.stage)
            if row.metric != metric or stage != (row.stage if same in valued else LAST):
                continue
            found = against(estimate, row)
            fields = mismatches(entry, row, {**protocols[metric], "stage": stage})
            rows.append(
                {
                    "arm": arm,
                    "metric": metric,
                    "stage": stage,
                    "entry": entry.id,
                    "name": row.name,
                    "published": row.value,
                    **vars(found),
                    "not_comparable": list(fields),
                    "not_stated": [name for name, field in fields.items() if not field.stated],
                }
            )
    return rows


def _key(estimate: Row) -> tuple[str, str, str]:
    return estimate["arm"], estimate["metric"], estimate.get("stage", LAST)


def _offer(row: PublishedRow) -> _Offer:
    if row.low is not None and row.high is not None:
        return _interval_offer(row, row.low, row.high)
    is_auc = row.metric == "auc"
    if is_auc and row.n_positive is not None and row.n_negative is not None:
        error = hanley_mcneil(row.value, row.n_positive, row.n_negative)
        if error > 0:
            return _Offer(error, method="unpaired z, Hanley-McNeil SE from its n+ and n-")
        return _Offer(None, note="its AUC of 0 or 1 has no Hanley-McNeil SE")
    if row.sd is None:
        return _Offer(None)
    if is_auc or row.sd_of not in CASES:
        over = row.sd_of or "what it does not say"
        return _Offer(None, note=f"its SD, over {over}, is not the sampling error of a test set")
    if row.n is None or row.n < 2 or row.sd == 0:
        return _Offer(None, note="its SD needs n, at least 2, to give a standard error")
    error = row.sd / math.sqrt(row.n)
    return _Offer(error, row.n - 1, "unpaired Welch t, SE from its SD and n")


def _interval_offer(row: PublishedRow, low: float, high: float) -> _Offer:
    """AUC: on the logit scale, where its intervals are nearly symmetric; Dice: on its own."""
    if row.metric != "auc":
        error = (high - low) / (2 * _normal_quantile(PUBLISHED_LEVEL))
        return _Offer(error, method="unpaired z, SE from its interval")
    logit_error = _logit_error(row.value, low, high, PUBLISHED_LEVEL)
    if logit_error is None:
        return _Offer(None, note="its interval reaches 0 or 1 and gives no SE on the logit scale")
    return _Offer(logit_error, method="unpaired z, SE from its interval (logit scale)")


def _logit_error(value: float, low: float, high: float, level: float) -> float | None:
    """Standard error of which [low, high] is the normal interval on the logit scale.

    By the delta method on the metric's own scale; None where a limit is 0 or 1.
    """
    if not 0 < low < high < 1:
        return None
    width = float(special.logit(high) - special.logit(low))
    return width / (2 * _normal_quantile(level)) * value * (1 - value)


def hanley_mcneil(auc: float, n_positive: int, n_negative: int) -> float:
    """Give the standard error of an AUC by its counts alone (Hanley & McNeil 1982, formula 2)."""
    two_positives, two_negatives = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (
        auc * (1 - auc)
        + (n_positive - 1) * (two_positives - auc**2)
        + (n_negative - 1) * (two_negatives - auc**2)
    ) / (n_positive * n_negative)
    return math.sqrt(max(variance, 0.0))


def _welch_df(parts: Iterable[tuple[float, float]]) -> float:
    """Satterthwaite's degrees of freedom of a sum; infinite where any of them is: z."""
    errors = list(parts)
    if any(math.isinf(df) for _, df in errors):
        return math.inf
    total = sum(error**2 for error, _ in errors)
    return total**2 / sum(error**4 / df for error, df in errors)


def _normal_quantile(level: float) -> float:
    return float(special.ndtri((1 + level) / 2))
