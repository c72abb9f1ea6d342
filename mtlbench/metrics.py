"""Metrics from counts and scores; numpy only. The empty-mask rules live here.

N = cases, K = the five classes of `config.CLASSES`. Counts are pixels: `true_NK` and `pred_NK`
of each class in truth and prediction, `both_NK` where the two agree on it.
"""

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
LESIONS = slice(1, 5)


def auc(label_N: NDArray[np.integer], score_N: NDArray[np.floating]) -> float:
    """Area under the ROC curve, ties counted half (Mann-Whitney); NaN without both classes."""
    positive, negative = score_N[label_N == 1], np.sort(score_N[label_N == 0])
    if positive.size == 0 or negative.size == 0:
        return float("nan")
    below = np.searchsorted(negative, positive, side="left")
    not_above = np.searchsorted(negative, positive, side="right")
    return float((below + not_above).sum() / (2 * positive.size * negative.size))


def pooled_dice(true_NK: Counts, pred_NK: Counts, both_NK: Counts) -> NDArray[np.float64]:
    """Dice of each class over the pixels of all cases; NaN for a class absent from the truth."""
    true_K, pred_K, both_K = (counts.sum(axis=0) for counts in (true_NK, pred_NK, both_NK))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(true_K > 0, 2 * both_K / (true_K + pred_K), np.nan)


def dice(true_NK: Counts, pred_NK: Counts, both_NK: Counts) -> float:
    """`dice` of Le et al. 2019: mean over the classes in the truth of pooled Dice."""
    return _mean(pooled_dice(true_NK, pred_NK, both_NK))


def dice_lesions(true_NK: Counts, pred_NK: Counts, both_NK: Counts) -> float:
    """`dice` over the four lesion classes alone."""
    return _mean(pooled_dice(true_NK, pred_NK, both_NK)[LESIONS])


def lesion_counts(true_NK: Counts, pred_NK: Counts, both_NK: Counts) -> tuple[Counts, Counts]:
    """Pixels of any lesion in truth and in prediction, N each. See `dice_any`."""
    return true_NK[:, LESIONS].sum(axis=1), pred_NK[:, LESIONS].sum(axis=1)


def _mean(values: NDArray[np.float64]) -> float:
    return float("nan") if np.isnan(values).all() else float(np.nanmean(values))
