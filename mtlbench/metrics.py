"""Metrics from counts and scores; numpy only. The empty-mask rules live here.

N = cases, K = the five classes of `config.CLASSES`. Counts are pixels: `true_NK` and `pred_NK`
of each class in truth and prediction, `both_NK` where the two agree on it.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64] | Floats
"""Whole numbers in either type: a table with empty fields is read as floats."""
LESIONS = slice(1, 5)


def auc(label_N: NDArray[np.integer], score_N: NDArray[np.floating]) -> float:
    """Area under the ROC curve, ties counted half (Mann-Whitney); NaN without both classes."""
    positive, negative = score_N[label_N == 1], np.sort(score_N[label_N == 0])
    if positive.size == 0 or negative.size == 0:
        return float("nan")
    below = np.searchsorted(negative, positive, side="left")
    not_above = np.searchsorted(negative, positive, side="right")
    return float((below + not_above).sum() / (2 * positive.size * negative.size))


def pooled_dice(true_NK: Counts, pred_NK: Counts, both_NK: Counts) -> Floats:
    """Dice of each class over the pixels of all cases; NaN for a class absent from the truth."""
    true_K, pred_K, both_K = (counts.sum(axis=0) for counts in (true_NK, pred_NK, both_NK))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(true_K > 0, 2 * both_K / (true_K + pred_K), np.nan)


def image_dice(true_NK: Counts, pred_NK: Counts, both_NK: Counts) -> Floats:
    """Dice of each case and class, N × K.

    NaN where the class is in neither truth nor prediction; 0 where it is in one of them only.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(true_NK + pred_NK > 0, 2 * both_NK / (true_NK + pred_NK), np.nan)


def image_dice_any(true_NK: Counts, pred_NK: Counts, both_NK: Counts) -> Floats:
    """Dice of each case, any lesion against healthy, N.

    NaN without a lesion in the truth; 0 without one in the prediction.
    """
    true_N, pred_N, both_N = any_lesion(true_NK, pred_NK, both_NK)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(true_N > 0, 2 * both_N / (true_N + pred_N), np.nan)


def any_lesion(
    true_NK: Counts, pred_NK: Counts, both_NK: Counts
) -> tuple[NDArray[np.number], NDArray[np.number], NDArray[np.number]]:
    """Pixels that are any lesion in truth, in prediction and in both, N each.

    Both = all − healthy in truth − healthy in prediction + healthy in both: a pixel of the wrong
    lesion class is a lesion in both, which no `both_k` of a lesion class counts.
    """
    true_N, pred_N = true_NK[:, LESIONS].sum(axis=1), pred_NK[:, LESIONS].sum(axis=1)
    return true_N, pred_N, true_N - pred_NK[:, 0] + both_NK[:, 0]


def dice(true_NK: Counts, pred_NK: Counts, both_NK: Counts) -> float:
    """`dice` of Le et al. 2019: mean over the classes in the truth of pooled Dice."""
    return _mean(pooled_dice(true_NK, pred_NK, both_NK))


def dice_lesions(true_NK: Counts, pred_NK: Counts, both_NK: Counts) -> float:
    """`dice` over the four lesion classes alone."""
    return _mean(pooled_dice(true_NK, pred_NK, both_NK)[LESIONS])


def dice_any(true_NK: Counts, pred_NK: Counts, both_NK: Counts) -> float:
    """Pooled Dice of lesion against healthy; NaN without a lesion in the truth."""
    true_N, pred_N, both_N = any_lesion(true_NK, pred_NK, both_NK)
    total = true_N.sum() + pred_N.sum()
    return float(2 * both_N.sum() / total) if true_N.sum() > 0 else float("nan")


def dice_image(true_NK: Counts, pred_NK: Counts, both_NK: Counts) -> float:
    """Dice per case and class, averaged over cases, then over the classes in the truth.

    A case where the class is in neither truth nor prediction is skipped; one where it is only
    predicted counts 0.
    """
    present_K = true_NK.sum(axis=0) > 0
    return _mean(np.nanmean(image_dice(true_NK, pred_NK, both_NK)[:, present_K], axis=0))


def _mean(values: Floats) -> float:
    return float("nan") if np.isnan(values).all() else float(np.nanmean(values))
