"""Assumptions measured on one simulated sample predict what other samples show."""

import numpy as np
import pandas as pd
import pytest

from mtlbench.analysis import find_metric
from mtlbench.analysis.frame import BOTH, PRED, TRUE
from mtlbench.analysis.measured import measure
from mtlbench.analysis.power import Question, auc_outlook, dice_outlook
from mtlbench.bench.simulate import WORLDS, Setting
from mtlbench.config import AssumeConfig

QUESTION = Question(level=0.95, comparisons=1, seeds=1, effect=0.03)


def frames(cases, arms, split="val"):
    """As a study's runs are read: a table for each arm."""

    def table(arm):
        frame = pd.DataFrame(
            {
                "image_id": cases.image_N,
                "patient_id": cases.patients[cases.patient_N],
                "split": split,
                "label": np.nan if cases.label_N is None else cases.label_N,
                "score": np.nan if arm.score_SN is None else arm.score_SN[0],
                "seed": 0,
            }
        )
        if arm.pred_SNK is not None:
            counts_NT = np.hstack([cases.true_NK, arm.pred_SNK[0], arm.both_SNK[0]])
            frame[[*TRUE, *PRED, *BOTH]] = counts_NT
        return frame

    return {arm.name: table(arm) for arm in arms}


def repeated(metric, world, setting, studies):
    """Test sets with the values of two arms in each."""
    rng, sets, values = np.random.default_rng(7), [], []
    for _ in range(studies):
        cases, arms = WORLDS[world](rng, setting, 2)
        statistic = find_metric(metric).build(cases, arms)
        draw = statistic.rows.draw(np.ones((len(cases.patients), 1), np.int64))
        sets.append(cases)
        values.append([kernel.value(draw)[0] for (kernel,) in statistic.kernels.values()])
    return sets, np.array(values)


def assert_predicted(outlooks, values):
    """Mean predictions against the spread of values, 95 % and (97.5 % and 80 % power)."""
    half_width = np.mean([one.half_width for one in outlooks])
    assert half_width == pytest.approx(1.98 * values[:, 0].std(), rel=0.1)
    smallest = np.mean([one.smallest_difference for one in outlooks])
    assert smallest == pytest.approx(2.82 * (values[:, 0] - values[:, 1]).std(), rel=0.1)


@pytest.mark.parametrize("clustered", [False, True])
def test_aucs_of_other_test_sets_vary_as_measured(clustered):
    large, small = (Setting(n, clustered=clustered) for n in (6000, 300))
    found = measure(frames(*WORLDS["scores"](np.random.default_rng(0), large, 2)), {"auc": "arm0"})
    assert found["auc"] == pytest.approx(0.8, abs=0.02)
    assert found.get("patient_correlation", 0.5) == pytest.approx(0.5, abs=0.15)
    assert ("patient_correlation" in found) == clustered
    sets, values = repeated("auc", "scores", small, 1000)

    def predicted(cases):
        sizes = [
            np.unique(cases.patient_N[cases.label_N == label], return_counts=True)[1].tolist()
            for label in (1, 0)
        ]
        return auc_outlook(*sizes, AssumeConfig(**found), QUESTION)

    assert_predicted([predicted(cases) for cases in sets[:40]], values)


def test_mean_dice_of_other_test_sets_varies_as_measured():
    large, small = (Setting(n) for n in (6000, 300))
    found = measure(frames(*WORLDS["masks"](np.random.default_rng(0), large, 2)), {"dice": "arm0"})
    sets, values = repeated("dice", "masks", small, 1000)
    assert found["dice"] == pytest.approx(values.mean(), abs=0.01)
    patients_SK = [(cases.true_NK[:, 1:] > 0).sum(axis=0).tolist() for cases in sets[:40]]
    assume = AssumeConfig(**found)
    assert_predicted([dice_outlook(n_K, assume, QUESTION) for n_K in patients_SK], values)


def test_only_validation_rows_count():
    tables = frames(*WORLDS["scores"](np.random.default_rng(1), Setting(200), 2))
    noise = frames(*WORLDS["scores"](np.random.default_rng(2), Setting(200), 2), split="test")
    both = {
        name: pd.concat([table, noise[name].assign(image_id=lambda t: "t" + t["image_id"])])
        for name, table in tables.items()
    }
    assert measure(both, {"auc": "arm0"}) == measure(tables, {"auc": "arm0"})


def test_the_correlation_is_that_of_leaving_patients_out():
    """Against the jackknife of plain AUCs: pseudo-values of two arms correlate as measured."""
    cases, arms = WORLDS["scores"](np.random.default_rng(3), Setting(150), 2)
    label_N = cases.label_N

    def auc(score_N, keep_N):
        positive, negative = score_N[keep_N & (label_N == 1)], score_N[keep_N & (label_N == 0)]
        return (positive[:, None] > negative).mean()

    keep_NN = ~np.eye(150, dtype=bool)
    left_out = np.array([[auc(arm.score_SN[0], keep_N) for keep_N in keep_NN] for arm in arms])
    one, two = left_out - left_out.mean(axis=1, keepdims=True)
    expected = 2 * (one @ two) / (one @ one + two @ two)
    found = measure(frames(cases, arms), {"auc": "arm0"})
    assert found["auc_correlation"] == pytest.approx(expected, abs=0.02)


def test_seeds_vary_beyond_what_the_patients_explain():
    """Two seeds: the same predictions twice, or one whose positives score lowest."""
    tables = frames(*WORLDS["scores"](np.random.default_rng(4), Setting(400), 2))
    twice = {name: pd.concat([t, t.assign(seed=1)]) for name, t in tables.items()}
    assert measure(twice, {"auc": "arm0"})["auc_seed_sd"] == 0
    assert "auc_seed_sd" not in measure(tables, {"auc": "arm0"})
    apart = {
        name: pd.concat([t, t.assign(seed=1, score=t["score"] * (0.05 + 0.95 * (t["label"] == 0)))])
        for name, t in tables.items()
    }
    assert measure(apart, {"auc": "arm0"})["auc_seed_sd"] > 0.2


def test_few_patients_give_no_spread_and_a_lone_arm_no_correlation():
    cases, arms = WORLDS["scores"](np.random.default_rng(5), Setting(20), 2)
    assert (cases.label_N == 1).sum() < 10
    assert set(measure(frames(cases, arms), {"auc": "arm0"})) == {"auc_correlation"}
    assert measure(frames(cases, arms), {}) == {}
    assert measure(frames(cases, arms[:1]), {"auc": "arm0"}) == {}
