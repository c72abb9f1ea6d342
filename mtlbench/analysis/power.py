"""What a test set can show before anything is trained: interval widths, detectable differences.

P = patients. Scores are taken as normal with equal spread in both classes, so that every moment of
an AUC has a closed form; Dice as a mean over patients. See docs/statistics.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy import special

from mtlbench.analysis.seeds import MIN_SEEDS
from mtlbench.config import AssumeConfig


@dataclass(frozen=True)
class Outlook:
    """Of one metric, by the assumptions; None: too few patients, or nothing to compare."""

    metric: str
    n_patients: int
    """Of the scarcer kind."""
    comparisons: int
    """Arms tested against the baseline."""
    level: float
    """Of the hardest of their tests by Holm: 1 - alpha / comparisons."""
    low: float | None = None
    """Expected limits of an arm's interval."""
    high: float | None = None
    half_width: float | None = None
    smallest_difference: float | None = None
    """Between an arm and the baseline, found with `assume.power`."""


@dataclass(frozen=True)
class _Errors:
    """Patient-level variance of an arm's value and of a paired difference."""

    value: float
    difference: float


def auc_outlook(
    positives_P: Sequence[int],
    negatives_P: Sequence[int],
    assume: AssumeConfig,
    *,
    level: float,
    comparisons: int,
    seeds: int,
) -> Outlook:
    """Expected width of an AUC's interval and the smallest difference of two AUCs that is found.

    Args:
        positives_P: positive images of each patient that has any.
        negatives_P: negative images of each patient that has any.
        assume: AUC, correlations, spread over seeds and power.
        level: of the intervals.
        comparisons: arms tested against the baseline; 0: no difference is tested.
        seeds: of each arm.
    """
    empty = Outlook("auc", min(len(positives_P), len(negatives_P)), comparisons, level)
    if empty.n_patients < 2:
        return empty
    variance, covariance = (
        auc_covariance(positives_P, negatives_P, assume.auc, assume.patient_correlation, arms)
        for arms in (1.0, assume.auc_correlation)
    )
    errors = _Errors(variance, 2 * (variance - covariance))
    return _filled(empty, assume.auc, errors, assume, seeds)


def dice_outlook(
    n_patients: int, assume: AssumeConfig, *, level: float, comparisons: int, seeds: int
) -> Outlook:
    """Do the same for mean Dice, from the patients with a lesion."""
    empty = Outlook("dice", n_patients, comparisons, level)
    if n_patients < 2:
        return empty
    variance = assume.dice_sd**2 / n_patients
    errors = _Errors(variance, 2 * variance * (1 - assume.dice_correlation))
    return _filled(empty, assume.dice, errors, assume, seeds)


def auc_covariance(
    positives_P: Sequence[int], negatives_P: Sequence[int], auc: float, patient: float, arms: float
) -> float:
    """Covariance of two arms' AUCs on the same images; with `arms` = 1 the variance of one.

    Exact for normal scores of equal spread: the covariance of the kernels [x > y] of two pairs is
    P(both) - A², and their correlation is the mean of that of the positives and of the negatives:
    `arms` for the same image, `arms` · `patient` for two of one patient, else 0. A patient's
    positive and negative images are taken as independent, which overstates the variance.
    """
    pairs = [
        (share * other, (correlation + against) / 2)
        for share, correlation in _pairs(positives_P, patient, arms)
        for other, against in _pairs(negatives_P, patient, arms)
    ]
    return sum(share * (_both(auc, correlation) - auc**2) for share, correlation in pairs)


def _pairs(images_P: Sequence[int], patient: float, arms: float) -> list[tuple[float, float]]:
    """Share and correlation of two images drawn of a class: the same, of one patient, of two."""
    total, squares = sum(images_P), sum(n * n for n in images_P)
    same, own = 1 / total, squares / total**2
    return [(same, arms), (own - same, arms * patient), (1 - own, 0.0)]


def _both(auc: float, correlation: float) -> float:
    """P(both of two pairs are in order): a bivariate normal orthant by Owen's T (1956)."""
    bound = float(special.ndtri(auc))
    slope = math.sqrt((1 - correlation) / (1 + correlation))
    return float(special.ndtr(bound) - 2 * special.owens_t(bound, slope))


def _filled(
    empty: Outlook, value: float, errors: _Errors, assume: AssumeConfig, seeds: int
) -> Outlook:
    df, level = empty.n_patients - 1, empty.level
    spread = assume.seed_sd**2 if seeds >= MIN_SEEDS else 0.0
    error, quantile = _error(errors.value, spread, df, seeds, level)
    centre, reach = special.logit(value), quantile * error / (value * (1 - value))
    low, high = (float(special.expit(centre + side * reach)) for side in (-1, 1))
    found = replace(empty, low=low, high=high, half_width=(high - low) / 2)
    if not empty.comparisons:
        return found
    strict = 1 - (1 - level) / empty.comparisons
    error, quantile = _error(errors.difference, 2 * spread, df, seeds, strict)
    smallest = (quantile + float(special.ndtri(assume.power))) * error
    return replace(found, level=strict, smallest_difference=smallest)


def _error(
    patients: float, spread: float, df: int, seeds: int, level: float
) -> tuple[float, float]:
    """Standard error with seeds as random readers, and its quantile of t (Hillis 2007)."""
    total = patients + spread / seeds
    freedom = min(df, (seeds - 1) * (seeds * total / spread) ** 2) if spread else df
    return math.sqrt(total), float(special.stdtrit(freedom, (1 + level) / 2))
