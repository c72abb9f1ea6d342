"""Resampling patients: one draw of counts, shared by all arms, seeds and metrics.

P = patients, R = rows (a patient in one stratum), B = resamples of one chunk.
A stratum is what a variance is taken over: for AUC the patients with a positive case and those
with a negative one, for Dice the patients with a mask; each within one fold.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mtlbench.analysis.frame import Floats, Indices

Counts = NDArray[np.int64]
CHUNK = 32
"""Resamples at a time. Part of the result: each chunk has a random stream of its own."""


def patient_counts(n_patients: int, resamples: int, seed: int) -> Iterator[Counts]:
    """How often each patient is drawn, n_patients × (up to `CHUNK`) at a time.

    Patients are drawn with replacement, as many as there are, without strata.
    """
    streams = np.random.SeedSequence(seed).spawn(-(-resamples // CHUNK))
    for start, stream in zip(range(0, resamples, CHUNK), streams, strict=True):
        rng = np.random.default_rng(stream)
        counts_PB = np.empty((n_patients, min(CHUNK, resamples - start)), np.int64)
        for column_P in counts_PB.T:
            column_P[:] = np.bincount(
                rng.integers(n_patients, size=n_patients), minlength=n_patients
            )
        yield counts_PB


def leave_one_out(n_patients: int) -> Iterator[Counts]:
    """Draw every patient once but one, each of them in turn, in chunks of `CHUNK`."""
    for start in range(0, n_patients, CHUNK):
        left_out = np.arange(start, min(start + CHUNK, n_patients))
        counts_PB = np.ones((n_patients, left_out.size), np.int64)
        counts_PB[left_out, left_out - start] = 0
        yield counts_PB


@dataclass(frozen=True)
class Draw:
    """A chunk of resamples as the rows of one metric see it."""

    counts_PB: Counts
    count_RB: Floats
    strata: Sequence[slice]
    """Rows of each stratum."""
    correction_SB: Sequence[Floats]
    """n/(n−1), n = patients of the stratum in the resample."""
    shared: tuple[Indices, Indices]
    """Rows (in either stratum of a fold) of the patients who are in both."""
    shared_weight_CB: Floats
    """Their count × n/(n−1), n = patients of the fold in the resample."""

    def covariance(self, left_RB: Floats, right_RB: Floats) -> Floats:
        """Patient-level covariance of two estimates from their influence values, B.

        Obuchowski 1997 (doi:10.2307/2533958): within each stratum n/(n−1)·Σ c·l·r, and the cross
        products of patients who have cases in both strata.
        """
        total_B = np.zeros(left_RB.shape[1])
        for rows, correction_B in zip(self.strata, self.correction_SB, strict=True):
            products = self.count_RB[rows], left_RB[rows], right_RB[rows]
            total_B += correction_B * np.einsum("rb,rb,rb->b", *products)
        one_C, two_C = self.shared
        if one_C.size:
            for a_C, b_C in ((one_C, two_C), (two_C, one_C)):
                cross = self.shared_weight_CB, left_RB[a_C], right_RB[b_C]
                total_B += np.einsum("cb,cb,cb->b", *cross)
        return total_B


class Rows:
    """The rows of one metric: per fold one or two strata, each a list of patients."""

    def __init__(self, folds: Sequence[Sequence[Indices]]) -> None:
        self.patient_R = np.concatenate([patients for fold in folds for patients in fold])
        self.n_patients = int(self.patient_R.max()) + 1
        ends = np.cumsum([0, *(len(patients) for fold in folds for patients in fold)])
        self.strata = [slice(a, b) for a, b in pairwise(ends)]
        none = np.empty(0, np.intp)
        self._shared = [(none, none, none)]
        starts = iter(ends)
        for fold in folds:
            start = [next(starts) for _ in fold]
            if len(fold) == 2:
                one, two = fold
                _, one_C, two_C = np.intersect1d(one, two, return_indices=True)
                either = np.union1d(one, two)
                self._shared.append((start[0] + one_C, start[1] + two_C, either))

    def draw(self, counts_PB: Counts) -> Draw:
        """Count the rows; a correction is NaN where fewer than two patients are left."""
        count_RB = counts_PB[self.patient_R].astype(float)
        one_C, two_C = (np.concatenate([fold[side] for fold in self._shared]) for side in (0, 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            correction_SB = [_correction(count_RB[rows]) for rows in self.strata]
            shared_weight = [
                count_RB[rows_C] * _correction(counts_PB[patients])
                for rows_C, _, patients in self._shared
                if rows_C.size
            ]
        return Draw(
            counts_PB,
            count_RB,
            self.strata,
            correction_SB,
            (one_C, two_C),
            np.concatenate([np.empty((0, count_RB.shape[1])), *shared_weight]),
        )


def _correction(count_RB: Floats | Counts) -> Floats:
    """n/(n−1) of n drawn patients, B; NaN where they are fewer than two."""
    n_B = count_RB.sum(axis=0)
    return np.where(n_B > 1, n_B / (n_B - 1), np.nan)
