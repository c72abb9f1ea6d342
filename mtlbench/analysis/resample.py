"""Resampling patients: one draw of counts, shared by all arms, seeds and metrics.

P = patients, R = rows (a patient in one stratum), B = resamples of one chunk.
A stratum is what a variance is taken over: for AUC the patients with a positive case and those
with a negative one, for Dice the patients with a mask; each within one fold.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mtlbench.analysis.frame import Floats, Indices

Counts = NDArray[np.int64]
CHUNK, CHUNK_COUNTS = 32, 160_000
"""Resamples at a time, fewer where their counts would not stay in a core's cache.

Part of the result: each chunk has a random stream of its own.
"""


def chunks(n_patients: int, total: int) -> Iterator[range]:
    """Split `total` draws of as many patients."""
    size = min(CHUNK, max(CHUNK_COUNTS // n_patients, 1))
    return (range(start, min(start + size, total)) for start in range(0, total, size))


def patient_counts(n_patients: int, resamples: int, seed: int) -> Iterator[Counts]:
    """How often each patient is drawn, n_patients × (up to `CHUNK`) at a time.

    Patients are drawn with replacement, as many as there are, without strata. Each resample is
    contiguous in memory: sums along the patients are several times faster so.
    """
    root = np.random.SeedSequence(seed)
    drawn_P = np.empty(n_patients, np.uint64)
    for part in chunks(n_patients, resamples):
        size = len(part), n_patients
        counts_BP = np.empty(size, np.int64)
        bits_BP = _random_bits(root.spawn(1)[0], size)
        for count_P, bits_P in zip(counts_BP, bits_BP, strict=True):
            drawn_P[:] = bits_P
            drawn_P *= np.uint64(n_patients)
            drawn_P >>= np.uint64(32)
            count_P[:] = np.bincount(drawn_P.view(np.int64), minlength=n_patients)
        yield counts_BP.T


def _random_bits(stream: np.random.SeedSequence, size: tuple[int, int]) -> NDArray[np.uint32]:
    """Draw 32 random bits each, for integers below n by multiply and shift.

    The probabilities of such integers differ by at most 2⁻³². Those of `Generator.integers` do not
    differ, but it would take as long as all the rest of an AUC's interval.
    """
    n = math.prod(size)
    words = np.random.SFC64(stream).random_raw(-(-n // 2)).astype("<u8", copy=False)
    return words.view("<u4")[:n].reshape(size)


def leave_one_out(n_patients: int) -> Iterator[Counts]:
    """Draw every patient once but one, each of them in turn, as `chunks` splits them."""
    for part in chunks(n_patients, n_patients):
        counts_BP = np.ones((len(part), n_patients), np.int64)
        counts_BP[np.arange(len(part)), part] = 0
        yield counts_BP.T


def pick(value_PB: Counts, place_n: Indices) -> Counts:
    """Rows of an array, each resample contiguous as in `patient_counts`."""
    return value_PB.T.take(place_n, axis=1).T


@dataclass(frozen=True)
class Draw:
    """A chunk of resamples as the rows of one metric see it; what nobody asks for costs nothing."""

    counts_PB: Counts
    rows: "Rows"

    @cached_property
    def count_RB(self) -> Floats:
        """How often the patient of each row is drawn."""
        return pick(self.counts_PB, self.rows.patient_R).astype(float)

    @cached_property
    def _correction_SB(self) -> Sequence[Floats]:
        """n/(n−1), n = patients of the stratum in the resample."""
        return [_correction(self.count_RB[rows]) for rows in self.rows.strata]

    @cached_property
    def shared_weight_CB(self) -> Floats:
        """Count × n/(n−1) of the patients in both strata of a fold, n = patients of the fold."""
        weights = [np.empty((0, self.counts_PB.shape[1]))]
        for one_C, _, patients in self.rows.shared:
            weights.append(self.count_RB[one_C] * _correction(pick(self.counts_PB, patients)))
        return np.concatenate(weights)

    def covariance(self, left_RB: Floats, right_RB: Floats) -> Floats:
        """Patient-level covariance of two estimates from their influence values, B.

        Obuchowski 1997 (doi:10.2307/2533958): within each stratum n/(n−1)·Σ c·l·r, and the cross
        products of patients who have cases in both strata.
        """
        total_B = np.zeros(left_RB.shape[1])
        for rows, correction_B in zip(self.rows.strata, self._correction_SB, strict=True):
            products = self.count_RB[rows], left_RB[rows], right_RB[rows]
            total_B += correction_B * np.einsum("rb,rb,rb->b", *products)
        one_C, two_C = self.rows.in_both
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
        self.shared: list[tuple[Indices, Indices, Indices]] = []
        """By fold: the rows in either stratum of the patients who are in both, and all patients."""
        starts = iter(ends)
        for fold in folds:
            start = [next(starts) for _ in fold]
            if len(fold) == 2:
                one, two = fold
                _, one_C, two_C = np.intersect1d(one, two, return_indices=True)
                either = np.union1d(one, two)
                self.shared.append((start[0] + one_C, start[1] + two_C, either))
        none = np.empty(0, np.intp)
        self.in_both = tuple(
            np.concatenate([none, *(fold[side] for fold in self.shared)]) for side in (0, 1)
        )
        """The rows of these patients in the first and in the second stratum of their fold."""

    def draw(self, counts_PB: Counts) -> Draw:
        """See a chunk of resamples as these rows."""
        return Draw(counts_PB, self)


def _correction(count_RB: Floats | Counts) -> Floats:
    """n/(n−1) of n drawn patients, B; NaN where they are fewer than two."""
    n_B = count_RB.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(n_B > 1, n_B / (n_B - 1), np.nan)
