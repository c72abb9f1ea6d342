"""Metrics of scores and labels on resampled patients, with the influence of each patient.

Cases of one fold stand by falling score in groups of equal score. A metric is a function of how
often each case is drawn, and a case's influence its derivative by that count, so that the sum of
count × influence is 0. N = cases of the fold, T = groups, B = resamples, R = rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mtlbench.analysis.auc import Cluster
from mtlbench.analysis.frame import Floats, Indices, Mask
from mtlbench.analysis.resample import Draw


@dataclass(frozen=True)
class Ranking:
    """Scores and labels of the cases of one fold."""

    score_N: Floats
    positive_N: Mask
    group_N: Indices
    """Which group of equal scores a case is in, 0 the highest."""
    last_T: Indices
    """The last case of each group."""

    def flipped(self) -> "Ranking":
        """The same cases with the classes, and so the order of scores, exchanged."""
        n_groups = len(self.last_T)
        first_T = np.append(0, self.last_T[:-1] + 1)
        return Ranking(
            1 - self.score_N[::-1],
            ~self.positive_N[::-1],
            n_groups - 1 - self.group_N[::-1],
            len(self.score_N) - 1 - first_T[::-1],
        )

    def ends(self, weight_NB: Floats) -> Floats:
        """Sums from the highest score to the end of each group, T × B."""
        return np.asarray(np.cumsum(weight_NB, axis=0)[self.last_T])


def rank(score_N: Floats, positive_N: Mask) -> tuple[Ranking, Indices]:
    """Rank cases that stand in any order; also gives the order, by falling score."""
    order_N = np.argsort(-score_N, kind="stable")
    ordered_N = score_N[order_N]
    falls = np.diff(ordered_N) < 0
    group_N = np.append(0, np.cumsum(falls))
    last_T = np.flatnonzero(np.append(falls, True))
    n = len(order_N)  # which may be 0
    return Ranking(ordered_N, positive_N[order_N], group_N[:n], last_T[:n]), order_N


Functional = Callable[[Ranking, Floats], tuple[Floats, Floats]]
"""Ranking, how often each case is drawn (N × B) → value (B) and influence (N × B)."""


class RankedKernel:
    """Mean over folds of a functional of one vector of scores."""

    def __init__(
        self,
        folds: Sequence[tuple[Cluster, ...]],
        label_N: Floats,
        score_N: Floats,
        functional: Functional,
    ) -> None:
        """Take the clusters of each fold: the two classes, or all labelled cases as one."""
        self._functional = functional
        self._folds = [_Fold(clusters, label_N, score_N) for clusters in folds]

    def __call__(self, draw: Draw) -> tuple[Floats, Floats]:
        """Value (B) and influence (R × B); NaN where a class is not drawn."""
        value_B = np.zeros(draw.counts_PB.shape[1])
        parts = []
        for fold in self._folds:
            count_NB = draw.counts_PB[fold.patient_N].astype(float)
            with np.errstate(divide="ignore", invalid="ignore"):
                fold_B, influence_NB = self._functional(fold.ranking, count_NB)
            fold_B = np.where(fold.both_classes(count_NB), fold_B, np.nan)
            value_B += fold_B
            parts += [
                cluster.per_patient(influence_NB[place_n]) for cluster, place_n in fold.places
            ]
        return value_B / len(self._folds), np.concatenate(parts) / len(self._folds)

    def value(self, draw: Draw) -> Floats:
        """The value alone."""
        return self(draw)[0]


class _Fold:
    def __init__(self, clusters: tuple[Cluster, ...], label_N: Floats, score_N: Floats) -> None:
        case_N = np.concatenate([cluster.case_n for cluster in clusters])
        patient_N = np.concatenate([cluster.patient_n for cluster in clusters])
        self.ranking, order_N = rank(score_N[case_N], label_N[case_N] == 1)
        self.patient_N = patient_N[order_N]
        place_N = np.argsort(order_N)
        ends = np.cumsum([len(cluster.case_n) for cluster in clusters])[:-1]
        self.places = list(zip(clusters, np.split(place_N, ends), strict=True))

    def both_classes(self, count_NB: Floats) -> Mask:
        positive = self.ranking.positive_N
        return np.asarray(count_NB[positive].any(axis=0) & count_NB[~positive].any(axis=0))


def _rates(ranking: Ranking, count_NB: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """False- and true-positive rate at the end of each group, T × B, and drawn N and M, B."""
    positive_NB = count_NB * ranking.positive_N[:, None]
    true_TB, false_TB = ranking.ends(positive_NB), ranking.ends(count_NB - positive_NB)
    return false_TB / false_TB[-1], true_TB / true_TB[-1], false_TB[-1], true_TB[-1]


def partial_auc(most_fpr: float) -> Functional:
    """Area under the ROC curve up to a false-positive rate, standardised to [0, 1].

    (1 + (area − e²/2) / (e − e²/2)) / 2 for e = `most_fpr`: chance gives 1/2 (McClish 1989). The
    area is the mean over positives of what their group adds: e − (F₀+F₁)/2 where the group ends
    before e, (e−F₀)²/(2(F₁−F₀)) where it holds e, else 0, F₀ and F₁ the false-positive rates
    before and after the group.
    """

    def functional(ranking: Ranking, count_NB: Floats) -> tuple[Floats, Floats]:
        fpr_TB, _, n_B, m_B = _rates(ranking, count_NB)
        before_TB = np.concatenate([np.zeros((1, len(n_B))), fpr_TB[:-1]])
        width_TB, left_TB = fpr_TB - before_TB, most_fpr - before_TB
        whole_TB, cut_TB = fpr_TB <= most_fpr, (left_TB > 0) & (fpr_TB > most_fpr)
        part_TB = left_TB / np.where(cut_TB, width_TB, np.inf)
        gain_TB = np.where(whole_TB, left_TB - width_TB / 2, part_TB * left_TB / 2)
        by_end_TB = np.where(whole_TB, -0.5, -(part_TB**2) / 2)
        by_start_TB = np.where(whole_TB, -0.5, part_TB**2 / 2 - part_TB)
        gain_NB, positive_N = gain_TB[ranking.group_N], ranking.positive_N
        area_B = (count_NB * gain_NB)[positive_N].sum(axis=0) / m_B
        pull_TB = _group_sums(ranking, count_NB * positive_N[:, None])
        end_TB, start_TB = pull_TB * by_end_TB, pull_TB * by_start_TB
        reach_TB = _from_here(end_TB) + _from_here(start_TB) - start_TB
        mean_B = (end_TB * fpr_TB + start_TB * before_TB).sum(axis=0)
        negative_NB = (reach_TB[ranking.group_N] - mean_B) / (m_B * n_B)
        influence_NB = np.where(positive_N[:, None], (gain_NB - area_B) / m_B, negative_NB)
        scale = 0.5 / (most_fpr - most_fpr**2 / 2)
        return 0.5 + (area_B - most_fpr**2 / 2) * scale, influence_NB * scale

    return functional


def _group_sums(ranking: Ranking, weight_NB: Floats) -> Floats:
    ends_TB = ranking.ends(weight_NB)
    return np.diff(ends_TB, axis=0, prepend=np.zeros((1, weight_NB.shape[1])))


def _from_here(value_TB: Floats) -> Floats:
    """Sums from each group to the lowest score."""
    return np.asarray(np.cumsum(value_TB[::-1], axis=0)[::-1])


def sensitivity_at(fpr: float) -> Functional:
    """Height of the ROC curve, straight between thresholds, at a false-positive rate.

    A negative case moves the threshold: its influence is −slope × (above − fpr) / N. The slope is
    that of the chord over ± one standard error of the rate, √(fpr(1−fpr)/N).
    """

    def functional(ranking: Ranking, count_NB: Floats) -> tuple[Floats, Floats]:
        fpr_TB, tpr_TB, n_B, m_B = _rates(ranking, count_NB)
        value_B, group_B, part_B = read_curve(fpr_TB, tpr_TB, np.full(len(n_B), fpr))
        step_B = np.sqrt(fpr * (1 - fpr) / n_B)
        low_B, high_B = np.maximum(fpr - step_B, 0), np.minimum(fpr + step_B, 1)
        rise_B = read_curve(fpr_TB, tpr_TB, high_B)[0] - read_curve(fpr_TB, tpr_TB, low_B)[0]
        above_NB = share_above(ranking.group_N, group_B, part_B)
        positive_NB = (above_NB - value_B) / m_B
        negative_NB = -(rise_B / (high_B - low_B)) * (above_NB - fpr) / n_B
        return value_B, np.where(ranking.positive_N[:, None], positive_NB, negative_NB)

    return functional


def specificity_at(missed: float) -> Functional:
    """Specificity where this part of the positives is missed: the classes exchange their parts."""
    flipped = sensitivity_at(missed)

    def functional(ranking: Ranking, count_NB: Floats) -> tuple[Floats, Floats]:
        value_B, influence_NB = flipped(ranking.flipped(), count_NB[::-1])
        return value_B, influence_NB[::-1]

    return functional


def read_curve(x_TB: Floats, y_TB: Floats, at_B: Floats) -> tuple[Floats, Indices, Floats]:
    """Height at `at_B` of curves from (0, 0) through the points T, flat after the last.

    Where the curve rises at one x, its top counts. Also gives the group that holds `at_B` (T where
    none does) and which part of it lies before.
    """
    x_TB, y_TB = (np.concatenate([np.zeros((1, len(at_B))), v_TB]) for v_TB in (x_TB, y_TB))
    group_B = (x_TB <= at_B).sum(axis=0) - 1
    after_B = np.minimum(group_B + 1, len(x_TB) - 1)
    columns = np.arange(len(at_B))
    x0_B, y0_B = x_TB[group_B, columns], y_TB[group_B, columns]
    x1_B, y1_B = x_TB[after_B, columns], y_TB[after_B, columns]
    part_B = (at_B - x0_B) / np.where(after_B > group_B, x1_B - x0_B, np.inf)
    return y0_B + part_B * (y1_B - y0_B), group_B, part_B


def share_above(group_N: Indices, group_B: Indices, part_B: Floats) -> Floats:
    """1 for cases above the group that holds the threshold, its part for those in it, else 0."""
    in_it_NB = group_N[:, None] == group_B
    return np.where(in_it_NB, part_B, (group_N[:, None] < group_B).astype(float))


def average_precision(ranking: Ranking, count_NB: Floats) -> tuple[Floats, Floats]:
    """Mean over the positives of the precision at their own threshold, as scikit-learn's."""
    positive_NB = count_NB * ranking.positive_N[:, None]
    true_TB = ranking.ends(positive_NB)
    all_TB = ranking.ends(count_NB)
    some_TB = np.maximum(all_TB, 1)  # nothing drawn so far: no precision, and no case to have it
    m_B, precision_TB = true_TB[-1], true_TB / some_TB
    pull_TB = _group_sums(ranking, positive_NB) / some_TB
    value_B = (_group_sums(ranking, positive_NB) * precision_TB).sum(axis=0) / m_B
    by_true_TB, by_false_TB = (
        _from_here(pull_TB * part_TB) for part_TB in (1 - precision_TB, -precision_TB)
    )
    own_NB = precision_TB[ranking.group_N] - value_B + by_true_TB[ranking.group_N]
    other_NB = by_false_TB[ranking.group_N]
    return value_B, np.where(ranking.positive_N[:, None], own_NB, other_NB) / m_B


def brier_score(ranking: Ranking, count_NB: Floats) -> tuple[Floats, Floats]:
    """Mean squared difference of score and label (Brier 1950)."""
    return _mean((ranking.score_N - ranking.positive_N) ** 2, count_NB)


def _mean(value_N: Floats, count_NB: Floats) -> tuple[Floats, Floats]:
    n_B = count_NB.sum(axis=0)
    mean_B = value_N @ count_NB / n_B
    return mean_B, (value_N[:, None] - mean_B) / n_B
