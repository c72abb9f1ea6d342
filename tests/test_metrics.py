import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from mtlbench import metrics


def counts(true_NP, pred_NP):
    """Counts of N label maps of P pixels: true, pred and both, N × 5 each."""
    one_hot = np.eye(5, dtype=np.int64)
    true_NPK, pred_NPK = one_hot[true_NP], one_hot[pred_NP]
    return true_NPK.sum(axis=1), pred_NPK.sum(axis=1), (true_NPK * pred_NPK).sum(axis=1)


@pytest.fixture
def maps():
    rng = np.random.default_rng(0)
    true_NP = rng.choice(5, size=(8, 300), p=[0.8, 0.05, 0.05, 0.05, 0.05])
    true_NP[:4][true_NP[:4] == 3] = 0
    true_NP[true_NP == 4] = 0
    pred_NP = np.where(rng.random(true_NP.shape) < 0.4, rng.integers(0, 5, true_NP.shape), true_NP)
    pred_NP[:2][pred_NP[:2] == 3] = 0
    return true_NP, pred_NP


def test_auc_is_scikit_learns():
    rng = np.random.default_rng(1)
    label, score = rng.integers(0, 2, 200), rng.normal(size=200).round(1)
    assert metrics.auc(label, score) == pytest.approx(roc_auc_score(label, score), abs=1e-15)
    assert np.isnan(metrics.auc(np.ones(3, int), np.arange(3.0)))


def test_pooled_dice_is_the_f1_of_the_pixels(maps):
    true, pred = (array.ravel() for array in maps)
    by_class = f1_score(true, pred, average=None, labels=range(5), zero_division=0)
    assert metrics.pooled_dice(*counts(*maps))[:4] == pytest.approx(by_class[:4])
    assert np.isnan(metrics.pooled_dice(*counts(*maps))[4])
    assert metrics.dice(*counts(*maps)) == pytest.approx(by_class[:4].mean())
    assert metrics.dice_lesions(*counts(*maps)) == pytest.approx(by_class[1:4].mean())


def test_dice_any_is_the_f1_of_lesion_against_healthy(maps):
    """A pixel of the wrong lesion class is found all the same."""
    true, pred = (array.ravel() > 0 for array in maps)
    assert metrics.dice_any(*counts(*maps)) == pytest.approx(f1_score(true, pred))


def test_dice_image_skips_empty_and_counts_false_positives_as_zero(maps):
    by_class = []
    for k in range(4):
        values = [
            f1_score(true == k, pred == k, zero_division=0)
            for true, pred in zip(*maps, strict=True)
            if k in true or k in pred
        ]
        by_class.append(np.mean(values))
    assert metrics.dice_image(*counts(*maps)) == pytest.approx(np.mean(by_class))


def test_image_dice_any_is_the_f1_of_each_image_with_a_lesion(maps):
    true, pred = (array > 0 for array in maps)
    true[0], pred[1] = False, False
    both = counts(np.where(true, maps[0], 0), np.where(pred, maps[1], 0))
    values = metrics.image_dice_any(*both)
    assert np.isnan(values[0])
    assert values[1] == 0
    expected = [f1_score(one, other) for one, other in zip(true[2:], pred[2:], strict=True)]
    assert values[2:] == pytest.approx(expected)


def test_without_lesions_there_is_no_dice_of_lesions():
    healthy = counts(np.zeros((3, 10), int), np.zeros((3, 10), int))
    assert metrics.dice(*healthy) == metrics.dice_image(*healthy) == 1
    assert np.isnan(metrics.dice_lesions(*healthy))
    assert np.isnan(metrics.dice_any(*healthy))
