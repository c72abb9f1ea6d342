"""The ROC curve with a vertical band from resampled patients.

N = cases of one seed and fold, T = distinct thresholds, F = false-positive rates of the grid.
"""

import numpy as np
import pandas as pd

from mtlbench.analysis.align import Cases, align
from mtlbench.analysis.frame import Floats
from mtlbench.analysis.resample import Counts, patient_counts
from mtlbench.errors import DataError

GRID_F = np.linspace(0, 1, 201)
"""False-positive rates at which the curve is read."""


def roc_band(
    frame: pd.DataFrame, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Sensitivity against false-positive rate with a pointwise percentile band.

    Args:
        frame: predictions as for `compare`; the curve is the mean over seeds and folds of the
            sensitivity at each false-positive rate, on shared draws of patients.
        level: of the band at each rate by itself, not of the whole curve.
        resamples: draws of patients; those without both classes are left out.
        seed: of the draws.

    Returns:
        Columns `fpr`, `tpr`, `low`, `high`.

    Raises:
        DataError: where the frame is faulty, has no scores or lacks a class.

    """
    cases, (arm,) = align({"predictions": frame}, masks=False)
    if arm.score_SN is None or cases.label_N is None:
        raise DataError("a ROC curve needs scores and labels")
    curves = [
        _Curve(cases, score_N, fold) for score_N in arm.score_SN for fold in set(cases.fold_N)
    ]

    def mean_curve(count_P: Counts) -> Floats:
        return np.asarray(np.mean([curve(count_P) for curve in curves], axis=0))

    n_patients = len(cases.patients)
    tpr_F = mean_curve(np.ones(n_patients, np.int64))
    if np.isnan(tpr_F).any():
        raise DataError("a ROC curve needs positive and negative cases (in every fold)")
    tpr_BF = np.array(
        [
            mean_curve(count_P)
            for counts_PB in patient_counts(n_patients, resamples, seed)
            for count_P in counts_PB.T
        ]
    )
    tails = (1 - level) / 2, (1 + level) / 2
    low_F, high_F = np.nanquantile(tpr_BF, tails, axis=0)
    return pd.DataFrame({"fpr": GRID_F, "tpr": tpr_F, "low": low_F, "high": high_F})


class _Curve:
    """One seed and fold: patient counts → sensitivity on the grid, NaN without both classes."""

    def __init__(self, cases: Cases, score_N: Floats, fold: int) -> None:
        assert cases.label_N is not None
        used_N = (cases.fold_N == fold) & ~np.isnan(cases.label_N)
        order = np.flatnonzero(used_N)[np.argsort(-score_N[used_N], kind="stable")]
        self._patient_N = cases.patient_N[order]
        self._positive_N = cases.label_N[order] == 1
        falls = np.diff(score_N[order]) < 0
        self._last_T = np.flatnonzero(np.append(falls, True))

    def __call__(self, count_P: Counts) -> Floats:
        count_N = count_P[self._patient_N]
        true_T = np.cumsum(count_N * self._positive_N)[self._last_T]
        false_T = np.cumsum(count_N * ~self._positive_N)[self._last_T]
        if true_T[-1] == 0 or false_T[-1] == 0:
            return np.full(GRID_F.size, np.nan)
        tpr_T = np.append(0, true_T) / true_T[-1]
        fpr_T = np.append(0, false_T) / false_T[-1]
        return np.asarray(np.interp(GRID_F, fpr_T, tpr_T))
