"""Dice metrics on resampled patients, with the influence of each patient.

Each is a mean over classes of a ratio of sums over patients, Σ c·a / Σ c·b:
pooled Dice has a = 2·both and b = true + pred in pixels; Dice per image has a = the sum of a
patient's Dice values and b = the number of images that have one.
N = cases, P = patients of the rows (those with a mask), K = classes averaged, B = resamples.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from mtlbench.analysis.align import Cases
from mtlbench.analysis.frame import Floats, Indices, Mask
from mtlbench.analysis.resample import Draw, Rows
from mtlbench.config import CLASSES
from mtlbench.metrics import any_lesion, image_dice

LESION = "lesion"
"""What `dice_any` calls its one class."""
ALL = range(len(CLASSES))


def classes_of(
    metric: str, true_NK: Floats, fold_N: Indices, among: Collection[int] = ALL
) -> tuple[int, ...]:
    """Find what `metric` averages: the classes in the truth of the test set (of every fold).

    Only those `among`, for a mean over the same classes elsewhere. `dice_any` has one, number 0.
    """
    if metric == "dice_any":
        true_NK = true_NK[:, 1:].sum(axis=1, keepdims=True)
    folds = [np.nansum(true_NK[fold_N == fold], axis=0) > 0 for fold in np.unique(fold_N)]
    present = np.flatnonzero(np.all(folds, axis=0))
    first = 1 if metric == "dice_lesions" else 0
    return tuple(int(k) for k in present if k >= first and k in among)


def class_names(metric: str, classes: Sequence[int]) -> tuple[str, ...]:
    """Names of `classes_of`, for a table's footnote."""
    return (LESION,) if metric == "dice_any" else tuple(CLASSES[k] for k in classes)


def dice_rows(cases: Cases, masked_N: Mask) -> Rows:
    """One row for each patient with a mask, by fold."""
    folds = np.unique(cases.fold_N)
    return Rows(
        [(np.unique(cases.patient_N[masked_N & (cases.fold_N == fold)]),) for fold in folds]
    )


def effective_patients(area_NK: Floats, patient_N: Indices) -> Floats:
    """Give the number of patients with equal areas that would weigh as much, K (Kish 1965).

    (Σ a)² / Σ a², a the area of a class over a patient's images: pooled Dice weighs patients by it.
    """
    area_PK = np.zeros((patient_N.max() + 1, area_NK.shape[1]))
    np.add.at(area_PK, patient_N, area_NK)
    return np.asarray(area_PK.sum(axis=0) ** 2 / (area_PK**2).sum(axis=0))


def ratio_terms(
    metric: str, true_NK: Floats, pred_NK: Floats, both_NK: Floats
) -> tuple[Floats, Floats, Floats]:
    """Numerator, denominator and pixels of truth of each masked case and class, N × K each."""
    if metric == "dice_any":
        lesion = any_lesion(true_NK, pred_NK, both_NK)
        true_NK, pred_NK, both_NK = (np.asarray(pixels_N, float)[:, None] for pixels_N in lesion)
    if metric == "dice_image":
        dice_NK = image_dice(true_NK, pred_NK, both_NK)
        return np.nan_to_num(dice_NK), (~np.isnan(dice_NK)).astype(float), true_NK
    return 2 * both_NK, true_NK + pred_NK, true_NK


@dataclass(frozen=True)
class _FoldTerms:
    terms_TP: Floats
    """Numerators, denominators and truth of K classes, one below the other (T = 3K)."""
    rows: slice

    def ratios(self, draw: Draw) -> tuple[Floats, Floats]:
        """Ratio of each class (K × B), NaN where it is not drawn, and its denominator."""
        top_KB, bottom_KB, truth_KB = np.split(self.terms_TP @ draw.count_RB[self.rows], 3)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(truth_KB > 0, top_KB / bottom_KB, np.nan), bottom_KB


class DiceKernel:
    """Mean over folds and classes of Σ c·a / Σ c·b; undefined where a class is not drawn."""

    def __init__(self, rows: Rows, patient_N: Indices, terms: Sequence[Floats]) -> None:
        """Take the terms (N × K each) of the masked cases and these cases' patients."""
        terms_NT = np.concatenate(terms, axis=1)
        total_PT = np.zeros((patient_N.max() + 1, terms_NT.shape[1]))
        np.add.at(total_PT, patient_N, terms_NT)
        self._folds = [
            _FoldTerms(np.ascontiguousarray(total_PT[rows.patient_R[stratum]].T), stratum)
            for stratum in rows.strata
        ]

    def __call__(self, draw: Draw) -> tuple[Floats, Floats]:
        """Value (B) and influence (P × B), by the delta method the mean of (a − D·b) / Σ c·b."""
        value_B = np.zeros(draw.counts_PB.shape[1])
        influence_PB = np.empty_like(draw.count_RB)
        for fold in self._folds:
            dice_KB, bottom_KB = fold.ratios(draw)
            n_ratios = len(dice_KB) * len(self._folds)
            with np.errstate(divide="ignore", invalid="ignore"):
                slope_KB = 1 / (bottom_KB * n_ratios)
                slopes_TB = np.concatenate([slope_KB, -dice_KB * slope_KB])
                terms_TP = fold.terms_TP[: len(slopes_TB)]
                influence_PB[fold.rows] = terms_TP.T @ slopes_TB
            value_B += dice_KB.sum(axis=0) / n_ratios
        return value_B, influence_PB

    def value(self, draw: Draw) -> Floats:
        """The value alone (B)."""
        means = [fold.ratios(draw)[0].mean(axis=0) for fold in self._folds]
        return np.asarray(np.mean(means, axis=0))
