"""ROC, precision-recall and FROC curves with pointwise percentile bands from resampled patients.

N = cases of one fold, P = patients, T = distinct thresholds, F = points of the curve's grid.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from mtlbench.analysis.align import Cases, align
from mtlbench.analysis.findings import Findings
from mtlbench.analysis.frame import Floats, Indices, Mask
from mtlbench.analysis.froc import Events, events
from mtlbench.analysis.ranked import rank, read_curve
from mtlbench.analysis.resample import Counts, patient_counts
from mtlbench.errors import DataError

GRID_F = np.linspace(0, 1, 201)
"""False-positive rates, recalls or Dice at which a curve is read."""
RATES_F = np.geomspace(0.125, 8, 73)
"""False positives per image at which FROC is read: twelve in each doubling."""
ROUNDING = 1e-9
"""By which a height may fall short of a point of the grid and still reach it."""

Curve = Callable[[Counts], Floats]
"""How often each patient is drawn (P) → height at each point of the grid (F), NaN where none."""
Read = Callable[[Floats, Floats], Floats]
"""True and false positives at each threshold, from the strictest (T) → heights (F)."""


def roc_band(
    frame: pd.DataFrame, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Sensitivity against false-positive rate, straight between thresholds.

    Args:
        frame: predictions as for `compare`; the curve is the mean over seeds and folds of the
            height at each point of the grid, on shared draws of patients.
        level: of the band at each point by itself, not of the whole curve.
        resamples: draws of patients; those without both classes are left out.
        seed: of the draws.

    Returns:
        Columns `fpr`, `tpr`, `low`, `high`.

    Raises:
        DataError: where the frame is faulty, has no scores or lacks a class.

    """
    curves, n_patients = _ranked(frame, _sensitivity, "a ROC curve")
    tpr_F, low_F, high_F = band(curves, n_patients, level, resamples, seed)
    return pd.DataFrame({"fpr": GRID_F, "tpr": tpr_F, "low": low_F, "high": high_F})


def pr_band(
    frame: pd.DataFrame, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Precision against recall; arguments and errors as for `roc_band`.

    The precision at a recall is that of the strictest threshold that reaches it and finds a
    positive, which is achievable; the area below is scikit-learn's average precision.

    Returns:
        Columns `recall`, `precision`, `low`, `high`.

    """
    curves, n_patients = _ranked(frame, _precision, "a precision-recall curve")
    precision_F, low_F, high_F = band(curves, n_patients, level, resamples, seed)
    return pd.DataFrame({"recall": GRID_F, "precision": precision_F, "low": low_F, "high": high_F})


def froc_band(
    frame: pd.DataFrame,
    findings: Findings,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Sensitivity to lesions against mean false positives per image with a mask.

    Arguments as for `roc_band`, and the findings of the same runs; resamples without a lesion are
    left out. The curve ends at the last operating point of any seed and fold; one that ends before
    counts as level from there.

    Returns:
        Columns `false_positives`, `sensitivity`, `low`, `high`.

    Raises:
        DataError: where a table is faulty, or there are no findings or no lesions in a fold.

    """
    cases, (arm,) = align({"predictions": frame}, scores=False, findings={"predictions": findings})
    if arm.findings is None or cases.true_NK is None:
        raise DataError("a FROC curve needs lesions with hits, and masks")
    curves: list[_Found] = []
    masked_N = ~np.isnan(cases.true_NK[:, 0])
    for fold in np.unique(cases.fold_N):
        used_N = masked_N & (cases.fold_N == fold)
        patients_P = np.unique(cases.patient_N[used_N])
        for one in arm.seeds:
            found = events(cases, arm.findings, one, used_N, patients_P)
            curves.append(_Found(found, patients_P))
    sensitivity_F, low_F, high_F = band(curves, len(cases.patients), level, resamples, seed)
    if np.isnan(sensitivity_F).any():
        raise DataError("a FROC curve needs a lesion in the test set (in every fold)")
    table = pd.DataFrame(
        {"false_positives": RATES_F, "sensitivity": sensitivity_F, "low": low_F, "high": high_F}
    )
    return table[: np.searchsorted(RATES_F, max(curve.last for curve in curves)) + 1]


def band(
    curves: Sequence[Curve], n_patients: int, level: float, resamples: int, seed: int
) -> tuple[Floats, Floats, Floats]:
    """Mean curve of the test set itself, and its band; NaN where the test set has none."""

    def mean_curve(count_P: Counts) -> Floats:
        return np.asarray(np.mean([curve(count_P) for curve in curves], axis=0))

    value_F = mean_curve(np.ones(n_patients, np.int64))
    if np.isnan(value_F).any():
        return value_F, value_F, value_F
    value_BF = [
        mean_curve(count_P)
        for counts_PB in patient_counts(n_patients, resamples, seed)
        for count_P in counts_PB.T
    ]
    low_F, high_F = np.nanquantile(value_BF, ((1 - level) / 2, (1 + level) / 2), axis=0)
    return value_F, low_F, high_F


def align_scores(frame: pd.DataFrame, what: str) -> tuple[Cases, Floats, Floats]:
    """Cases, scores (S × N) and labels (N, NaN where unknown) of one arm.

    Raises:
        DataError: there are none; `what` needs them.

    """
    cases, (arm,) = align({"predictions": frame}, masks=False)
    if arm.score_SN is None or cases.label_N is None:
        raise DataError(f"{what} needs scores and labels")
    return cases, arm.score_SN, cases.label_N


def _ranked(frame: pd.DataFrame, read: Read, what: str) -> tuple[list[Curve], int]:
    """Give a curve for each seed and fold, and the number of patients."""
    cases, score_SN, label_N = align_scores(frame, what)
    curves: list[Curve] = []
    for fold in np.unique(cases.fold_N):
        used_N = (cases.fold_N == fold) & ~np.isnan(label_N)
        if len(np.unique(label_N[used_N])) < 2:
            raise DataError(f"{what} needs positive and negative cases (in every fold)")
        curves += [
            _Ranked(cases.patient_N[used_N], label_N[used_N] == 1, score_N[used_N], read)
            for score_N in score_SN
        ]
    return curves, len(cases.patients)


class _Ranked:
    """One seed and fold: what is read from the positives above each threshold."""

    def __init__(self, patient_N: Indices, positive_N: Mask, score_N: Floats, read: Read) -> None:
        self._ranking, order_N = rank(score_N, positive_N)
        self._patient_N, self._read = patient_N[order_N], read

    def __call__(self, count_P: Counts) -> Floats:
        count_N = count_P[self._patient_N].astype(float)
        positive_N = self._ranking.positive_N
        true_T, false_T = (
            self._ranking.ends((count_N * used_N)[:, None])[:, 0]
            for used_N in (positive_N, ~positive_N)
        )
        if true_T[-1] == 0 or false_T[-1] == 0:
            return np.full(GRID_F.size, np.nan)
        return self._read(true_T, false_T)


def _sensitivity(true_T: Floats, false_T: Floats) -> Floats:
    tpr_T, fpr_T = np.append(0, true_T) / true_T[-1], np.append(0, false_T) / false_T[-1]
    return np.asarray(np.interp(GRID_F, fpr_T, tpr_T))


def _precision(true_T: Floats, false_T: Floats) -> Floats:
    drawn_T = true_T + false_T > 0
    true_T, false_T = true_T[drawn_T], false_T[drawn_T]
    wanted_F = np.maximum(GRID_F, 1 / true_T[-1])  # with no positive found there is no recall
    reached_F = np.searchsorted(true_T / true_T[-1], wanted_F - ROUNDING)
    return np.asarray((true_T / (true_T + false_T))[reached_F])


class _Found:
    """One seed and fold: lesions found at each rate of false positives."""

    def __init__(self, found: Events, patients_P: Indices) -> None:
        self._found, self._patients_P = found, patients_P
        x_T1 = found.curve(np.ones((len(patients_P), 1)))[0]
        self.last = float(x_T1.max(initial=0))
        """False positives per image of the last operating point."""

    def __call__(self, count_P: Counts) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            count_P1 = count_P[self._patients_P, None].astype(float)
            x_T1, y_T1, _, lesions_1 = self._found.curve(count_P1)
        if lesions_1[0] == 0:
            return np.full(RATES_F.size, np.nan)
        x_TF, y_TF = (np.repeat(v_T1, RATES_F.size, axis=1) for v_T1 in (x_T1, y_T1))
        return read_curve(x_TF, y_TF, RATES_F)[0]
