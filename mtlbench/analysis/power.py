"""What a test set can show before anything is trained: interval widths, detectable differences.

P = patients, K = lesion classes. Scores are taken as normal with equal spread in both classes, so
that the variance of an AUC has a closed form; see docs/statistics.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from mtlbench.analysis.seeds import MIN_SEEDS
from mtlbench.config import AssumeConfig

LOW, HIGH = 0.5, 0.9
"""Correlations of two arms that a smallest difference is told for besides the assumed one."""


@dataclass(frozen=True)
class Question:
    """What is asked of one metric."""

    level: float
    """Of the intervals."""
    comparisons: int
    """Arms tested against the baseline; 0: no difference is tested."""
    seeds: int
    """Of each arm."""
    effect: float
    """The smallest difference that matters."""


@dataclass(frozen=True)
class Outlook:
    """Of one metric, by the assumptions; None: too few patients, or nothing to compare."""

    metric: str
    n_patients: int
    """Of the scarcest kind."""
    comparisons: int
    effect: float
    level: float
    """Of the hardest of the tests by Holm: 1 - alpha / comparisons."""
    low: float | None = None
    """Expected limits of an arm's interval."""
    high: float | None = None
    half_width: float | None = None
    smallest_difference: float | None = None
    """Between an arm and the baseline, found with `assume.power`."""
    at_low: float | None = None
    """The same where two arms correlate by `LOW`."""
    at_high: float | None = None
    """The same at `HIGH`."""
    needed_correlation: float | None = None
    """The least, in steps of 0.01, at which the effect is found; None: at none."""


def auc_outlook(
    positives_P: Sequence[int],
    negatives_P: Sequence[int],
    assume: AssumeConfig,
    question: Question,
) -> Outlook:
    """Expected width of an AUC's interval and the smallest difference of two AUCs that is found.

    Args:
        positives_P: positive images of each patient that has any.
        negatives_P: negative images of each patient that has any.
        assume: AUC, correlations, spread over seeds and power.
        question: comparisons, seeds, level and effect.
    """
    empty = _empty("auc", min(len(positives_P), len(negatives_P)), question)
    if empty.n_patients < 2:
        return empty
    variance = auc_variance(positives_P, negatives_P, assume.auc, assume.patient_correlation)
    return _filled(empty, variance, assume, question)


def dice_outlook(patients_K: Sequence[int], assume: AssumeConfig, question: Question) -> Outlook:
    """Do the same for mean Dice over healthy and the lesion classes, each with its patients.

    Healthy pixels hardly vary, so the variance is Σ dice_sd² / n_k over the K classes, by (K + 1)².
    """
    empty = _empty("dice", min(patients_K, default=0), question)
    if empty.n_patients < 2:
        return empty
    variance = assume.dice_sd**2 * dice_weight(patients_K)
    return _filled(empty, variance, assume, question)


def dice_weight(patients_K: Sequence[int]) -> float:
    """Variance of mean Dice where each patient's part of a class's Dice has variance 1."""
    return sum(1 / n for n in patients_K) / (len(patients_K) + 1) ** 2


def auc_variance(
    positives_P: Sequence[int], negatives_P: Sequence[int], auc: float, patient: float
) -> float:
    """Variance of an AUC with several images a patient.

    Exact for normal scores of equal spread: the covariance of the kernels [x > y] of two pairs is
    P(both) - A², and their correlation is the mean of that of the positives and of the negatives:
    1 for the same image, `patient` for two of one patient, else 0. A patient's positive and
    negative images are taken as independent, which overstates the variance.
    """
    pairs = [
        (share * other, (correlation + against) / 2)
        for share, correlation in _pairs(positives_P, patient)
        for other, against in _pairs(negatives_P, patient)
    ]
    return sum(share * (_both(auc, correlation) - auc**2) for share, correlation in pairs)


def _pairs(images_P: Sequence[int], patient: float) -> list[tuple[float, float]]:
    """Share and correlation of two images drawn of a class: the same, of one patient, of two."""
    total, squares = sum(images_P), sum(n * n for n in images_P)
    same, own = 1 / total, squares / total**2
    return [(same, 1.0), (own - same, patient), (1 - own, 0.0)]


def _both(auc: float, correlation: float) -> float:
    """P(both of two pairs are in order): a bivariate normal orthant by Owen's T (1956)."""
    bound = float(special.ndtri(auc))
    slope = math.sqrt((1 - correlation) / (1 + correlation))
    return float(special.ndtr(bound) - 2 * special.owens_t(bound, slope))


def _empty(metric: str, n_patients: int, question: Question) -> Outlook:
    level = 1 - (1 - question.level) / max(question.comparisons, 1)
    return Outlook(metric, n_patients, question.comparisons, question.effect, level)


def _filled(empty: Outlook, variance: float, assume: AssumeConfig, question: Question) -> Outlook:
    """Fill in what patients show whose variance of one run's value is `variance`.

    Half of what parts two arms' runs is taken to part two seeds of an arm too.
    """
    known, metric = assume.model_dump(), empty.metric
    value, correlation, seed_sd = (
        known[f"{metric}{key}"] for key in ("", "_correlation", "_seed_sd")
    )
    df, seeds = empty.n_patients - 1, question.seeds
    spread = seed_sd**2 if seeds >= MIN_SEEDS else 0.0
    apart = variance * (1 - correlation) / 2
    error, freedom = _error(variance - apart, apart + spread, df, seeds)
    reach = float(special.stdtrit(freedom, (1 + question.level) / 2)) * error
    low, high = (
        float(special.expit(special.logit(value) + side * reach / (value * (1 - value))))
        for side in (-1, 1)
    )
    found = replace(empty, low=low, high=high, half_width=(high - low) / 2)
    if not empty.comparisons:
        return found

    def smallest(correlation: float) -> float:
        apart = variance * (1 - correlation)
        error, freedom = _error(apart, apart + 2 * spread, df, seeds)
        quantile = special.stdtrit(freedom, (1 + empty.level) / 2)
        return float(special.nctdtrinc(freedom, 1 - assume.power, quantile)) * error

    enough = (r for r in np.arange(0, 1, 0.01).tolist() if smallest(r) <= empty.effect)
    return replace(
        found,
        smallest_difference=smallest(correlation),
        at_low=smallest(LOW),
        at_high=smallest(HIGH),
        needed_correlation=next(enough, None),
    )


def _error(shared: float, between: float, df: int, seeds: int) -> tuple[float, float]:
    """Standard error of the mean over seeds, and its degrees of freedom (Hillis 2007).

    `shared` is the covariance of two seeds, `between` the mean square between them.
    """
    total = shared + between / seeds
    if seeds < MIN_SEEDS or not between:
        return math.sqrt(total), df
    return math.sqrt(total), min(df, (seeds - 1) * (seeds * total / between) ** 2)
