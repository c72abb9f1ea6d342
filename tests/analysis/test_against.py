"""Against hand-computed numbers, scipy's Welch test, a table of 1982, and simulated studies."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit

from mtlbench.analysis import load_published
from mtlbench.analysis.against import DESCRIPTIVE, against, against_entry, hanley_mcneil
from mtlbench.analysis.published import PublishedRow

OURS = {
    "arm": "joint", "metric": "auc", "value": 0.84, "low": 0.79, "high": 0.88, "level": 0.95,
    "n_patients": 300,
}  # fmt: skip


def published(metric="auc", value=0.80, **offered):
    return PublishedRow(name="model", metric=metric, value=value, **offered)


def error_of(value, low, high):
    """By the definition: half the logit width over 1.96, times the slope of the logistic."""
    return (logit(high) - logit(low)) / 2 / 1.959964 * value * (1 - value)


def test_an_interval_gives_a_z_test_on_the_logit_scale():
    found = against(OURS, published(low=0.75, high=0.845))
    error = np.hypot(error_of(0.84, 0.79, 0.88), error_of(0.80, 0.75, 0.845))
    assert found.p == pytest.approx(2 * stats.norm.sf(0.04 / error), rel=1e-6)
    assert (found.low, found.high) == pytest.approx(
        (0.04 - 1.959964 * error, 0.04 + 1.959964 * error)
    )
    assert "logit scale" in found.method
    assert "unpaired" in found.method


def test_counts_give_the_standard_error_of_hanley_and_mcneil():
    """It is exact for exponential scores, where P(positive > negative) = 1 / (1 + rate)."""
    rng = np.random.default_rng(8)
    positive_SM, negative_SN = rng.exponential(4.0, (4000, 30)), rng.exponential(1.0, (4000, 40))
    auc_S, _ = delong(positive_SM, negative_SN)
    assert hanley_mcneil(0.8, 30, 40) == pytest.approx(auc_S.std(), rel=0.04)
    found = against(OURS, published(n_positive=51, n_negative=58))
    error = np.hypot(error_of(0.84, 0.79, 0.88), hanley_mcneil(0.80, 51, 58))
    assert found.p == pytest.approx(2 * stats.norm.sf(0.04 / error), rel=1e-6)
    assert "Hanley-McNeil" in found.method


def test_an_sd_over_cases_gives_welchs_test_for_dice():
    low, high = (expit(logit(0.5) + side * 1.959964 * 0.02 / 0.25) for side in (-1, 1))
    ours = OURS | {"metric": "dice_image", "value": 0.5, "low": low, "high": high, "n_patients": 40}
    found = against(ours, published("dice_image", 0.45, sd=0.2, sd_of="patients", n=25))
    sd = 0.02 * np.sqrt(40)
    expected = stats.ttest_ind_from_stats(0.5, sd, 40, 0.45, 0.2, 25, equal_var=False)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-5)
    assert "Welch" in found.method


@pytest.mark.parametrize(
    ("row", "note"),
    [
        (published(), ""),
        (published(sd=0.02, sd_of="3 seeds or 5 configurations", n=3), "3 seeds"),
        (published(sd=0.02), "over what it does not say"),
        (published(sd=0.02, sd_of="patients", n=100), "not the sampling error"),
        (published(low=0.7, high=1.0), "reaches 0 or 1"),
        (published(value=1.0, n_positive=10, n_negative=10), "no Hanley-McNeil SE"),
    ],
)
def test_a_point_is_descriptive_with_our_interval_and_no_p(row, note):
    found = against(OURS, row)
    assert found.difference == pytest.approx(0.84 - row.value)
    assert (found.low, found.high) == pytest.approx((0.79 - row.value, 0.88 - row.value))
    assert (found.p, found.method) == (None, DESCRIPTIVE)
    assert note in found.note


def test_dice_without_n_is_a_point_and_with_an_interval_a_z_test():
    ours = OURS | {"metric": "dice"}
    lee = load_published()["lee2017-masks"].rows[0]
    assert against(ours, lee).p is None
    assert "needs n" in against(ours, lee).note
    found = against(ours, published("dice", low=0.70, high=0.90))
    error = np.hypot(error_of(0.84, 0.79, 0.88), 0.1 / 1.959964)
    assert found.p == pytest.approx(2 * stats.norm.sf(0.04 / error), rel=1e-6)


def test_ours_without_an_interval_is_a_difference_alone():
    found = against(OURS | {"low": np.nan, "high": np.nan}, published(low=0.75, high=0.85))
    assert found.difference == pytest.approx(0.04)
    assert (found.low, found.high, found.p) == (None, None, None)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_p_inverts_the_interval(level):
    """At the level 1 - p the interval touches 0."""
    own = error_of(0.84, 0.79, 0.88) / (0.84 * 0.16)
    reach = stats.norm.ppf((1 + level) / 2) * own
    limits = {"low": expit(logit(0.84) - reach), "high": expit(logit(0.84) + reach)}
    found = against(OURS | limits | {"level": level}, published(low=0.75, high=0.845))
    p = against(OURS, published(low=0.75, high=0.845)).p
    assert found.p == pytest.approx(p)
    assert (found.p < 1 - level) == (found.low > 0)


def test_every_arm_with_a_value_meets_every_number_of_its_metric():
    rows = [
        OURS,
        OURS | {"arm": "seg", "value": np.nan},
        OURS | {"arm": "seg", "metric": "dice", "value": 0.3, "low": 0.2, "high": 0.4},
    ]
    entry = load_published()["le2019-table1"]
    ours = {"dataset": "ddsm", "level": "breast"}
    found = against_entry(rows, entry, {"auc": ours, "dice": ours})
    assert [(row["arm"], row["metric"], row["name"]) for row in found] == [
        *(("joint", "auc", name) for name in ("cls", "sequential", "joint")),
        *(("seg", "dice", name) for name in ("seg", "sequential", "joint")),
    ]
    assert found[2]["difference"] == pytest.approx(0.84 - 0.8402)
    others = ["input", "size", "split", "views", "ensemble"]
    assert found[0]["not_comparable"] == ["label_rule", "level", *others]
    assert found[0]["not_stated"] == ["label_rule", *others]
    assert found[3]["not_comparable"] == ["label_rule", "classes", "pooling", *others]


def test_a_number_before_the_last_stage_meets_ours_before_it():
    """Ours after the last stage stands in only where there is none before it."""
    after = OURS | {"arm": "sequential", "metric": "dice", "value": 0.2, "low": 0.1, "high": 0.3}
    before = after | {"stage": "before the last", "value": 0.35, "low": 0.3, "high": 0.4}
    entry = load_published()["le2019-table1"]

    def differences(rows):
        found = against_entry(rows, entry, {"auc": {}, "dice": {}})
        return {row["name"]: row for row in found}

    both, alone = differences([after, before]), differences([after])
    assert both["sequential"]["difference"] == pytest.approx(0.35 - 0.3498)
    assert both["joint"]["difference"] == pytest.approx(0.2 - 0.3828)
    assert "stage" not in both["sequential"]["not_comparable"]
    assert alone["sequential"]["difference"] == pytest.approx(0.2 - 0.3498)
    assert "stage" in alone["sequential"]["not_comparable"]
    assert "stage" not in alone["joint"]["not_comparable"]


def delong(positive_SM, negative_SN):
    """AUC and its DeLong variance of each of S data sets, straight from the placements."""
    above_SMN = positive_SM[:, :, None] > negative_SN[:, None, :]
    up_SM, down_SN = above_SMN.mean(axis=2), above_SMN.mean(axis=1)
    variance_S = up_SM.var(axis=1, ddof=1) / up_SM.shape[1]
    return up_SM.mean(axis=1), variance_S + down_SN.var(axis=1, ddof=1) / down_SN.shape[1]


def test_size_against_an_estimate_is_nominal():
    """4,000 pairs of studies of 300 cases, AUC .80: 5 % by the interval, a little less by counts.

    Hanley and McNeil's error is 7 to 12 % too large for normal scores, which makes 3 to 4 %.
    """
    rng = np.random.default_rng(20)
    n_studies, shift = 4000, np.sqrt(2) * stats.norm.ppf(0.80)
    sides = []
    for _ in range(2):
        parts = [
            delong(rng.normal(shift, 1, (100, 90)), rng.normal(0, 1, (100, 210)))
            for _ in range(n_studies // 100)
        ]
        auc_S, variance_S = (np.concatenate(part) for part in zip(*parts, strict=True))
        reach_S = 1.959964 * np.sqrt(variance_S) / (auc_S * (1 - auc_S))
        sides.append((auc_S, expit(logit(auc_S) - reach_S), expit(logit(auc_S) + reach_S)))
    by_interval = by_counts = 0
    for (value, low, high), theirs in zip(
        zip(*sides[0], strict=True), zip(*sides[1], strict=True), strict=True
    ):
        ours = OURS | {"value": value, "low": low, "high": high}
        limits = {"low": theirs[1], "high": theirs[2]}
        by_interval += against(ours, published(value=theirs[0], **limits)).p < 0.05
        counts = published(value=theirs[0], n_positive=90, n_negative=210)
        by_counts += against(ours, counts).p < 0.05
    error = np.sqrt(0.05 * 0.95 / n_studies)
    assert by_interval / n_studies == pytest.approx(0.05, abs=3 * error)
    assert 0.02 < by_counts / n_studies < 0.05 + 3 * error
