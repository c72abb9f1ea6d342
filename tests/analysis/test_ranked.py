"""Values against scikit-learn, influences against the derivative by the counts."""

from functools import partial

import numpy as np
import pytest
import sklearn.metrics as sklearn
from scipy.special import expit

from mtlbench.analysis.ranked import (
    Ranking,
    average_precision,
    brier_score,
    partial_auc,
    read_curve,
    sensitivity_at,
    specificity_at,
)

STEP = 1e-6
SMOOTH = {
    "partial": (partial_auc(0.3), partial(sklearn.roc_auc_score, max_fpr=0.3)),
    "ap": (average_precision, sklearn.average_precision_score),
    "brier": (brier_score, sklearn.brier_score_loss),
}


def ranking(label, score):
    order = np.argsort(-score, kind="stable")
    falls = np.diff(score[order]) < 0
    group = np.append(0, np.cumsum(falls))
    last = np.flatnonzero(np.append(falls, True))
    return order, Ranking(score[order], label[order] == 1, group, last)


@pytest.fixture(params=[False, True], ids=["distinct", "tied"])
def drawn(request):
    """Labels, scores, their ranking, and how often each case is drawn in three resamples."""
    rng = np.random.default_rng(0)
    label = (rng.random(60) < 0.4).astype(int)
    score = expit(rng.normal(size=60) + label)
    score = score.round(1) if request.param else score
    order, ranked = ranking(label, score)
    count = rng.integers(0, 4, size=(60, 3)).astype(float)
    return label, score, order, ranked, count


@pytest.mark.parametrize("name", SMOOTH)
def test_values_are_those_of_scikit_learn(name, drawn):
    label, score, order, ranked, count = drawn
    functional, reference = SMOOTH[name]
    value, _ = functional(ranked, count)
    for k in range(3):
        weight = np.empty(60)
        weight[order] = count[:, k]
        assert value[k] == pytest.approx(reference(label, score, sample_weight=weight), abs=1e-14)


@pytest.mark.parametrize("name", SMOOTH)
def test_an_influence_is_the_derivative_by_the_count(name, drawn):
    *_, ranked, count = drawn
    functional, _ = SMOOTH[name]
    value, influence = functional(ranked, count)
    for i in range(60):
        more = count.copy()
        more[i] += STEP
        slope = (functional(ranked, more)[0] - value) / STEP
        there = count[i] > 0
        assert influence[i, there] == pytest.approx(slope[there], abs=1e-6)


@pytest.mark.parametrize("functional", [sensitivity_at(0.25), specificity_at(0.25)])
def test_at_a_rate_the_influences_of_what_is_drawn_add_up_to_nothing(functional, drawn):
    *_, ranked, count = drawn
    value, influence = functional(ranked, count)
    assert (count * influence).sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-14)
    assert ((value > 0) & (value < 1)).all()


def test_sensitivity_by_hand():
    """Of 4 negatives none is above 2 of 3 positives, one above the third: at 1/8 it is 2/3."""
    label = np.array([1, 1, 0, 1, 0, 0, 0])
    score = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
    _, ranked = ranking(label, score)
    once = np.ones((7, 1))
    assert sensitivity_at(1 / 8)(ranked, once)[0] == pytest.approx([2 / 3])
    assert sensitivity_at(1 / 4)(ranked, once)[0] == pytest.approx([1])
    assert specificity_at(0.4)(ranked, once)[0] == pytest.approx([0.75 + 0.25])
    assert specificity_at(0.2)(ranked, once)[0] == pytest.approx([0.75])


def test_standard_error_of_sensitivity_is_near_that_of_many_samples():
    """The influences' standard error against the spread of 400 simulated test sets."""
    rng = np.random.default_rng(1)
    values, errors = [], []
    for _ in range(400):
        label = (rng.random(400) < 0.3).astype(int)
        _, ranked = ranking(label, expit(rng.normal(size=400) + 1.2 * label))
        value, influence = sensitivity_at(0.1)(ranked, np.ones((400, 1)))
        values.append(value[0])
        errors.append(np.sqrt((influence**2).sum()))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.12)


def test_a_curve_is_straight_between_points_and_flat_after_the_last():
    x, y = np.array([[0.5], [0.5], [1.0]]), np.array([[0.2], [0.6], [0.8]])
    reads = [read_curve(x, y, np.array([at])) for at in (0.25, 0.5, 0.75, 2.0)]
    assert [value.item() for value, _, _ in reads] == pytest.approx([0.1, 0.6, 0.7, 0.8])
    assert [group.item() for _, group, _ in reads] == [0, 2, 2, 3]
