"""Calibration error on resampled patients, with the influence of each patient.

K = bins of the score, P = patients with a label, B = resamples.
"""

from collections.abc import Sequence

import numpy as np
from scipy import special

from mtlbench.analysis.auc import Cluster
from mtlbench.analysis.frame import Floats
from mtlbench.analysis.resample import Draw

N_BINS = 10
"""Of equal width."""


class CalibrationKernel:
    """Mean over folds of the expected calibration error without its upward bias.

    The plain error Σ|g|, g = (sum of score − label in a bin) / cases, counts every bin's noise as
    an error: with 100 well calibrated cases and 10 bins it is about 0.1. Here each |g| is lowered
    by E|N(m, v)| − |m|, the folded normal's excess over its mean, v the variance of g over
    patients and m = sign(g)·√max(g² − v, 0).
    """

    def __init__(self, folds: Sequence[Cluster], label_N: Floats, score_N: Floats) -> None:
        """Take the labelled cases of each fold, their patients in the order of the rows."""
        self._folds = [_sums(cluster, label_N, score_N) for cluster in folds]

    def __call__(self, draw: Draw) -> tuple[Floats, Floats]:
        """Value (B), below 0 by chance, and influence (P × B), by the signs of the bins' errors."""
        value_B = np.zeros(draw.counts_PB.shape[1])
        influences = []
        for (gap_KP, n_P), rows in zip(self._folds, draw.rows.strata, strict=True):
            count_PB = draw.count_RB[rows]
            n_B = _some(n_P @ count_PB)
            gap_KB = gap_KP @ count_PB / n_B
            value_B += (np.abs(gap_KB) - _excess(gap_KB, _variance(gap_KP, n_P, count_PB))).sum(0)
            sign_KB = np.sign(gap_KB)
            plain_B = np.abs(gap_KB).sum(axis=0)
            influences.append((gap_KP.T @ sign_KB - np.multiply.outer(n_P, plain_B)) / n_B)
        n_folds = len(self._folds)
        return value_B / n_folds, np.concatenate(influences) / n_folds

    def value(self, draw: Draw) -> Floats:
        """The value alone."""
        return self(draw)[0]

    def plain(self, draw: Draw) -> Floats:
        """The error with its bias (B): what it is where the drawn cases are all there are."""
        errors = [
            np.abs(gap_KP @ draw.count_RB[rows]).sum(axis=0) / _some(n_P @ draw.count_RB[rows])
            for (gap_KP, n_P), rows in zip(self._folds, draw.rows.strata, strict=True)
        ]
        return np.asarray(np.mean(errors, axis=0))


def _sums(cluster: Cluster, label_N: Floats, score_N: Floats) -> tuple[Floats, Floats]:
    """Each patient's sum of score − label by bin (K × P), and number of cases (P)."""
    score_n, label_n = score_N[cluster.case_n], label_N[cluster.case_n]
    bin_n = np.minimum((score_n * N_BINS).astype(int), N_BINS - 1)
    order = np.argsort(cluster.patients)
    place_n = order[np.searchsorted(cluster.patients, cluster.patient_n, sorter=order)]
    gap_KP = np.zeros((N_BINS, len(cluster.patients)))
    np.add.at(gap_KP, (bin_n, place_n), score_n - label_n)
    return gap_KP, cluster.size


def _variance(gap_KP: Floats, n_P: Floats, count_PB: Floats) -> Floats:
    """Of each bin's error, by the spread of the patients around it, K × B."""
    n_B = _some(n_P @ count_PB)
    mean_KB = gap_KP @ count_PB / n_B
    square_KB = gap_KP**2 @ count_PB - 2 * mean_KB * ((gap_KP * n_P) @ count_PB)
    return np.maximum(square_KB + mean_KB**2 * (n_P**2 @ count_PB), 0) / n_B**2


def _some(n_B: Floats) -> Floats:
    """Numbers of cases; NaN where none is drawn."""
    return np.where(n_B > 0, n_B, np.nan)


def _excess(gap_KB: Floats, variance_KB: Floats) -> Floats:
    """How much larger the mean of |N(m, v)| is than |m|."""
    mean_KB = np.sqrt(np.maximum(gap_KB**2 - variance_KB, 0))
    sd_KB = np.sqrt(np.maximum(variance_KB, np.finfo(float).tiny))
    ratio_KB = mean_KB / sd_KB
    density_KB = np.sqrt(2 / np.pi) * np.exp(-(ratio_KB**2) / 2)
    return np.asarray(sd_KB * (density_KB - 2 * ratio_KB * special.ndtr(-ratio_KB)))
