"""AUC on resampled patients, with the influence of each patient (Obuchowski's placements).

N = cases, P = patients, B = resamples, R = rows: the patients with positive cases, then those
with negative ones, of each fold. Ties count half.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mtlbench.analysis.align import Cases
from mtlbench.analysis.frame import Floats, Indices
from mtlbench.analysis.resample import Counts, Draw, Rows, pick

Number = TypeVar("Number", np.int64, np.float64)


class Cluster:
    """The cases of one class in one fold, laid out so that patient sums are sums of blocks.

    Patients stand by falling number of cases; the cases (n) are first every patient's first one,
    then every patient's second one, and so on.
    """

    def __init__(self, case_n: Indices, patient_N: Indices) -> None:
        """Take the indices of the cases and every case's patient."""
        patients, place_n, size = np.unique(
            patient_N[case_n], return_inverse=True, return_counts=True
        )
        falling = np.argsort(-size, kind="stable")
        self.patients, self.size = patients[falling], size[falling].astype(float)
        place_n = np.argsort(falling)[place_n]
        by_patient = np.argsort(place_n, kind="stable")
        ends = np.cumsum(size[falling])
        rank_n = np.arange(len(case_n)) - np.repeat(ends - size[falling], size[falling])
        order = by_patient[np.argsort(rank_n, kind="stable")]
        self.case_n = case_n[order]
        self.patient_n = patient_N[self.case_n]
        self._blocks: list[int] = np.bincount(rank_n).tolist()

    def per_patient(self, value_nB: NDArray[Number]) -> NDArray[Number]:
        """Sum over the cases of each patient, in place."""
        first, *rest = self._blocks
        total_RB, start = value_nB[:first], first
        for length in rest:
            total_RB[:length] += value_nB[start : start + length]
            start += length
        return total_RB

    def own(self, value_B: Floats) -> Floats:
        """Each patient's number of cases times a value, R × B (or B where it is 1 throughout)."""
        return value_B if len(self._blocks) == 1 else np.multiply.outer(self.size, value_B)


@dataclass(frozen=True)
class _Order:
    """Where the scores of one class stand among those of the other."""

    sorted_patient_n: Indices
    """The other class's patients, by score."""
    below_n: Indices
    """How many of the other class score lower."""
    not_above_n: Indices | None
    """How many score lower or the same; None where no score is tied."""

    def twice_below(self, counts_PB: Counts) -> tuple[Counts, Counts]:
        """Twice the drawn cases of the other class that score lower (ties half), n × B; all, B."""
        below_Bn = np.empty((counts_PB.shape[1], len(self.sorted_patient_n) + 1), np.int64)
        below_Bn[:, 0] = 0
        np.cumsum(pick(counts_PB, self.sorted_patient_n).T, axis=1, out=below_Bn[:, 1:])
        twice_nB = pick(below_Bn.T, self.below_n)
        twice_nB += twice_nB if self.not_above_n is None else pick(below_Bn.T, self.not_above_n)
        return twice_nB, below_Bn[:, -1]


def _order(cluster: Cluster, other: Cluster, score_N: Floats) -> _Order:
    score_n, others = score_N[cluster.case_n], score_N[other.case_n]
    order = np.argsort(others, kind="stable")
    below_n, not_above_n = (
        np.searchsorted(others[order], score_n, side=side) for side in ("left", "right")
    )
    tied = bool((below_n != not_above_n).any())
    return _Order(other.patient_n[order], below_n, not_above_n if tied else None)


def _rising(cluster: Cluster, other: Cluster, score_N: Floats) -> tuple[Indices, _Order]:
    """Patients of the cases by rising score, and their order: memory is read from end to end."""
    up = _order(cluster, other, score_N)
    rank_n = np.argsort(up.below_n, kind="stable")
    not_above_n = None if up.not_above_n is None else up.not_above_n[rank_n]
    return cluster.patient_n[rank_n], _Order(up.sorted_patient_n, up.below_n[rank_n], not_above_n)


Fold = tuple[Cluster, Cluster]
"""The positive and the negative cases of a fold: the truth that all arms share."""


def split_classes(cases: Cases, label_N: Floats) -> list[Fold]:
    """Group the labelled cases by fold and class."""

    def cluster(fold: int, label: int) -> Cluster:
        return Cluster(np.flatnonzero((cases.fold_N == fold) & (label_N == label)), cases.patient_N)

    return [(cluster(fold, 1), cluster(fold, 0)) for fold in np.unique(cases.fold_N)]


def auc_rows(folds: Sequence[Fold]) -> Rows:
    """One row for each patient of each cluster."""
    return Rows([(positive.patients, negative.patients) for positive, negative in folds])


class AucKernel:
    """Mean over folds of the AUC of one vector of scores."""

    def __init__(self, folds: Sequence[Fold], score_N: Floats) -> None:
        self._folds = [
            (one, two, _order(one, two, score_N), _order(two, one, score_N)) for one, two in folds
        ]
        self._rising = [_rising(one, two, score_N) for one, two in folds]

    def __call__(self, draw: Draw) -> tuple[Floats, Floats]:
        """AUC (B) and influence (R × B); NaN where a class is not drawn.

        With U the drawn negatives below a patient's positives and L the drawn positives below a
        patient's negatives (ties half), M and N the drawn positives and negatives, m and n the
        patient's own: A = Σ c·U / (M·N), and a patient's influence is U/(M·N) − A·m/M among the
        positives, (1−A)·n/N − L/(M·N) among the negatives (Obuchowski 1997; with one case a
        patient DeLong, DeLong & Clarke-Pearson 1988).
        """
        value_B = np.zeros(draw.counts_PB.shape[1])
        influence_RB = np.empty_like(draw.count_RB)
        start = 0
        for positive, negative, up, down in self._folds:
            middle = start + len(positive.patients)
            stop = middle + len(negative.patients)
            twice_nB, N_B = up.twice_below(draw.counts_PB)
            twice_U = positive.per_patient(twice_nB)
            twice_nB, M_B = down.twice_below(draw.counts_PB)
            twice_L = negative.per_patient(twice_nB)
            with np.errstate(divide="ignore", invalid="ignore"):
                scale_B = 0.5 / (M_B * N_B)
                wins_B = np.einsum("rb,rb->b", draw.count_RB[start:middle], twice_U)
                auc_B = 0.5 * wins_B / (M_B * N_B)  # as in `value`, to the bit
                np.multiply(twice_U, scale_B, out=influence_RB[start:middle])
                np.multiply(twice_L, -scale_B, out=influence_RB[middle:stop])
                influence_RB[start:middle] -= positive.own(auc_B / M_B)
                influence_RB[middle:stop] += negative.own((1 - auc_B) / N_B)
            value_B += auc_B
            start = stop
        influence_RB /= len(self._folds)
        return value_B / len(self._folds), influence_RB

    def value(self, draw: Draw) -> Floats:
        """AUC alone (B): the negatives' placements are not needed."""
        value_B = np.zeros(draw.counts_PB.shape[1])
        for patient_n, up in self._rising:
            counts_nB = pick(draw.counts_PB, patient_n)
            twice_nB, N_B = up.twice_below(draw.counts_PB)
            pairs_B = counts_nB.sum(axis=0) * N_B
            with np.errstate(divide="ignore", invalid="ignore"):
                value_B += 0.5 * np.einsum("nb,nb->b", counts_nB, twice_nB) / pairs_B
        return value_B / len(self._folds)
