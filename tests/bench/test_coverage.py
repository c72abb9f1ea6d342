"""The simulated test sets, and that the measurement can tell a good interval from a bad one."""

import numpy as np
import pytest
from scipy import stats

from mtlbench.analysis import METRICS, find_metric
from mtlbench.bench import simulate
from mtlbench.bench.coverage import coverage, family_error
from mtlbench.bench.simulate import (
    WORLDS,
    Setting,
    findings,
    make_test_set,
    masks,
    scores,
    truth,
)


@pytest.fixture(autouse=True)
def _small_populations(monkeypatch):
    """Of 100,000 cases in all an AUC of 0.8 has a standard error below 0.002 (Hanley-McNeil)."""
    monkeypatch.setattr(simulate, "POPULATION", 50_000)
    monkeypatch.setattr(simulate, "POPULATIONS", 2)


def test_scores_have_the_auc_that_they_are_said_to_have():
    assert truth("auc", Setting(100, auc=0.8)) == pytest.approx(0.8, abs=0.003)
    assert truth("auc", Setting(100, auc=0.95)) == pytest.approx(0.95, abs=0.003)


def test_calibrated_scores_have_no_calibration_error():
    assert truth("ece", Setting(100, overconfident=1.0)) < 0.002
    assert truth("ece", Setting(100)) > 0.04


@pytest.mark.parametrize("metric", METRICS)
def test_each_metric_has_a_value_on_its_test_sets(metric):
    setting = Setting(200, clustered=True)
    cases, arms = WORLDS[find_metric(metric).needs](np.random.default_rng(0), setting, 2)
    statistic = find_metric(metric).build(cases, arms)
    assert set(statistic.kernels) == {"arm0", "arm1"}
    assert 0 <= truth(metric, setting) <= 1


def test_images_of_a_patient_are_correlated_by_a_half():
    """The scores of the first two images of the negative patients, as normal numbers."""
    cases, (arm,) = scores(np.random.default_rng(0), Setting(60_000, clustered=True), 1)
    odds = np.log(arm.score_SN[0] / (1 - arm.score_SN[0]))
    first = np.flatnonzero(np.diff(cases.patient_N, prepend=-1))[:-1]
    first = first[cases.label_N[first] == 0]
    assert stats.pearsonr(odds[first], odds[first + 1]).statistic == pytest.approx(0.5, abs=0.03)


def test_masks_are_possible():
    cases, (arm, _) = masks(np.random.default_rng(0), Setting(300), 2)
    pred, both = arm.pred_SNK[0], arm.both_SNK[0]
    assert (cases.true_NK.sum(axis=1) == pred.sum(axis=1)).all()
    assert (both <= np.minimum(cases.true_NK, pred)).all()
    assert (both >= 0).all()


def test_lesions_are_the_same_for_all_arms():
    _, (one, other) = findings(np.random.default_rng(0), Setting(300), 2)
    assert one.findings.lesions["image_id"].equals(other.findings.lesions["image_id"])
    assert not one.findings.lesions["hit"].equals(other.findings.lesions["hit"])


def test_a_good_interval_covers_and_the_naive_one_does_not():
    """Few positives: percentiles fall short of the symmetric studentised bootstrap."""
    rows = {row.method: row for row in coverage("auc", Setting(100, prevalence=0.1), 120, 200)}
    assert rows["studentised"].covered > 0.88
    assert rows["percentile"].covered < rows["studentised"].covered
    assert set(rows) == {"studentised", "bca", "percentile", "closed"}


def test_equal_arms_are_seldom_told_apart():
    assert family_error("auc", Setting(100), 20) <= 0.2


def test_seeds_are_trainings_of_one_arm_on_the_same_cases():
    for metric in ("auc", "dice", "froc"):
        setting = Setting(100, seeds=3)
        cases, (arm, other) = make_test_set(metric, np.random.default_rng(0), setting, 2)
        assert arm.seeds == other.seeds == (0, 1, 2)
        kernels = find_metric(metric).build(cases, [arm, other]).kernels["arm0"]
        draw = find_metric(metric).build(cases, [arm]).rows.draw(np.ones((100, 1), int))
        assert len({float(kernel.value(draw)[0]) for kernel in kernels}) == 3


def test_seeds_are_measured_as_random():
    (seeds, *given) = coverage("auc", Setting(100, seeds=3), 30, 100)
    assert seeds.method == "seeds x cases"
    assert seeds.covered > 0.8
    assert [one.method for one in given] == ["studentised", "closed"]


def test_where_giants_dominate_the_output_says_so():
    row = coverage("dice_any", Setting(300, prevalence=0.1, giants=0.03), 40, 100)[0]
    assert row.marked > 0.8
    assert coverage("dice_any", Setting(300), 10, 100)[0].marked == 0
