import numpy as np
import pytest

from mtlbench import metrics
from mtlbench.analysis import compare
from mtlbench.analysis.align import align
from mtlbench.analysis.dice import classes_of, effective_patients
from mtlbench.analysis.metric import DICE, find_metric
from mtlbench.analysis.resample import patient_counts


@pytest.mark.parametrize("metric", DICE)
def test_value_is_that_of_the_resampled_cases(metric, make):
    cases, arms = align({"a": make(45, images_per_patient=3)})
    statistic = find_metric(metric).build(cases, arms)
    counts_PB = next(patient_counts(15, 20, 0))
    values, _ = statistic.kernels["a"][0](statistic.rows.draw(counts_PB))
    for value, count_P in zip(values, counts_PB.T, strict=True):
        rows = np.repeat(np.arange(45), count_P[cases.patient_N])
        drawn = (cases.true_NK[rows], arms[0].pred_SNK[0][rows], arms[0].both_SNK[0][rows])
        if (drawn[0].sum(axis=0) > 0).all():
            assert value == pytest.approx(getattr(metrics, metric)(*drawn), abs=1e-14)
        elif metric != "dice_any":
            assert np.isnan(value)


@pytest.mark.parametrize("metric", DICE)
def test_influence_is_the_derivative_by_a_patients_weight(metric, make):
    cases, arms = align({"a": make(24, images_per_patient=2)})
    statistic = find_metric(metric).build(cases, arms)
    _, influence = statistic.kernels["a"][0](statistic.rows.draw(np.ones((12, 1), int)))
    step = 1e-6
    for patient in range(12):
        ends = []
        for sign in (1, -1):
            count_PB = np.ones((12, 1))
            count_PB[patient] += sign * step
            ends.append(statistic.kernels["a"][0](statistic.rows.draw(count_PB))[0][0])
        slope = (ends[0] - ends[1]) / (2 * step)
        assert influence[patient, 0] == pytest.approx(slope, abs=1e-8)


def test_variance_of_a_mean_is_the_textbook_one(make):
    """dice_image of one class that is everywhere is a mean over cases: s²/n."""
    frame = make(30).assign(
        **{f"{kind}_{k}": 0 for kind in ("true", "pred", "both") for k in (2, 3, 4)}
    )
    rng = np.random.default_rng(0)
    both = rng.integers(1, 50, 30)
    for kind, inside in (("true", both + 10), ("pred", both + 10), ("both", both)):
        frame[f"{kind}_1"] = inside
        frame[f"{kind}_0"] = 400 - (inside if kind != "both" else both + 20)
    cases, arms = align({"a": frame})
    statistic = find_metric("dice_image").build(cases, arms)
    draw = statistic.rows.draw(np.ones((30, 1), int))
    _, influence = statistic.kernels["a"][0](draw)
    dice = metrics.image_dice(cases.true_NK, arms[0].pred_SNK[0], arms[0].both_SNK[0])[:, :2]
    expected = dice.mean(axis=1).var(ddof=1) / 30
    assert draw.covariance(influence, influence)[0] == pytest.approx(expected, abs=1e-15)


def test_classes_are_those_of_every_folds_truth():
    true_NK = np.array([[9, 1, 0, 0, 0], [9, 0, 1, 0, 0], [9, 1, 0, 0, 0]], float)
    one, two = np.zeros(3, int), np.array([0, 0, 1])
    assert classes_of("dice", true_NK, one) == (0, 1, 2)
    assert classes_of("dice_lesions", true_NK, one) == (1, 2)
    assert classes_of("dice", true_NK, two) == (0, 1)
    assert classes_of("dice_any", true_NK, two) == (0,)


def test_effective_patients_by_hand():
    """Equal areas count in full; of a patient with 9 and one with 1 pixels, 100/82."""
    area_NK = np.array([[2, 4, 9], [2, 5, 0], [4, 0, 1]])
    patient_N = np.array([0, 0, 1])
    assert effective_patients(area_NK, patient_N) == pytest.approx([2, 1, 100 / 82])


def test_a_giant_lesion_makes_pooled_dice_unreliable(make):
    """The same cases without it are reliable; Dice per image weighs images alike."""
    frame = make(200)
    giant = frame["true_1"].idxmax()
    large = frame.copy()
    counts = [f"{kind}_{k}" for kind in ("true", "pred", "both") for k in range(5)]
    large.loc[giant, counts] *= 1000
    for table, good in ((frame, True), (large, False)):
        found = compare({"a": table}, metrics=["dice_any", "dice_image"], resamples=100)
        assert found.estimates["reliable"].tolist() == [good, True]
        doubt = "" if good else "a few large lesions that dominate the pooled Dice"
        assert found.estimates["doubts"].tolist() == [doubt, ""]
        assert any(w.startswith("dice_any: a few large") for w in found.warnings) is not good
