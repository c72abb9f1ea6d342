"""Dice of single images: the fraction of them that reach each value, with a band.

N = cases with a lesion, S = seeds, P = patients, K = classes, F = points of the curve's grid.
"""

import numpy as np
import pandas as pd

from mtlbench.analysis.align import align
from mtlbench.analysis.curves import GRID_F, ROUNDING, band
from mtlbench.analysis.frame import BOTH, PRED, TRUE, Floats, Indices
from mtlbench.analysis.resample import Counts
from mtlbench.errors import DataError
from mtlbench.metrics import image_dice_any


def dice_of_images(frame: pd.DataFrame) -> Floats:
    """Dice of any lesion against healthy of each row of predictions; NaN where there is none."""
    return image_dice_any(*(frame[columns].to_numpy(float) for columns in (TRUE, PRED, BOTH)))


def dice_profile(
    frame: pd.DataFrame, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Fraction of the images with a lesion whose Dice, any lesion against healthy, is ≥ t.

    The fraction is a mean over seeds. Arguments as for `roc_band`; resamples without an image with
    a lesion are left out.

    Returns:
        Columns `dice` (t), `fraction`, `low`, `high`.

    Raises:
        DataError: where the frame is faulty, has no masks or no image has a lesion.

    """
    cases, (arm,) = align({"predictions": frame}, scores=False)
    if arm.pred_SNK is None or arm.both_SNK is None or cases.true_NK is None:
        raise DataError("the Dice of images needs masks")
    dice_SN = np.array(
        [
            image_dice_any(cases.true_NK, pred_NK, both_NK)
            for pred_NK, both_NK in zip(arm.pred_SNK, arm.both_SNK, strict=True)
        ]
    )
    used_N = ~np.isnan(dice_SN).any(axis=0)
    if not used_N.any():
        raise DataError("the Dice of images needs an image with a lesion")
    reached_FN = (dice_SN[:, used_N] >= GRID_F[:, None, None] - ROUNDING).mean(axis=1)
    n_patients, patient_N = len(cases.patients), cases.patient_N[used_N]
    reached_FP, images_1P = (
        _per_patient(value_FN, patient_N, n_patients)
        for value_FN in (reached_FN, np.ones((1, len(patient_N))))
    )
    fraction_F, low_F, high_F = band(
        [_Ratio(reached_FP, images_1P)], n_patients, level, resamples, seed
    )
    return pd.DataFrame({"dice": GRID_F, "fraction": fraction_F, "low": low_F, "high": high_F})


def _per_patient(value_FN: Floats, patient_N: Indices, n_patients: int) -> Floats:
    """Sums over the cases of each patient, F × P."""
    return np.array([np.bincount(patient_N, value_N, n_patients) for value_N in value_FN])


class _Ratio:
    """Ratio of sums over the drawn patients."""

    def __init__(self, top_FP: Floats, bottom_FP: Floats) -> None:
        self._top_FP, self._bottom_FP = top_FP, bottom_FP

    def __call__(self, count_P: Counts) -> Floats:
        bottom_F = self._bottom_FP @ count_P
        return self._top_FP @ count_P / np.where(bottom_F > 0, bottom_F, np.nan)
