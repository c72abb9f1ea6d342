import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

from mtlbench.analysis import compare
from mtlbench.analysis.calibration import _excess


def frame(n, factor, seed, images=1):
    """Scores whose log odds are `factor` times what they should be."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-0.5, 1.2, n)
    label = (rng.random(n) < expit(odds)).astype(int)
    patient = np.arange(n) // images
    ids = {"image_id": np.arange(n), "patient_id": patient}
    return pd.DataFrame(ids | {"label": label, "score": expit(factor * odds)})


def plain(table):
    bins = np.minimum((table["score"] * 10).astype(int), 9)
    return (table["score"] - table["label"]).groupby(bins).sum().abs().sum() / len(table)


def estimate(table, resamples=200):
    return compare({"a": table}, metrics=["ece"], resamples=resamples).estimates.iloc[0]


def test_the_excess_is_that_of_the_folded_normal():
    gap, sd = np.array([0.0, 0.3, -0.5, 2.0]), np.array([1.0, 0.2, 0.4, 0.5])
    mean = np.sqrt(np.maximum(gap**2 - sd**2, 0))
    expected = stats.foldnorm.mean(mean / sd, scale=sd) - mean
    assert _excess(gap[:, None], sd[:, None] ** 2)[:, 0] == pytest.approx(expected)


def test_with_very_many_cases_it_is_the_plain_error():
    table = frame(200_000, 1.7, seed=0)
    assert estimate(table, 100)["value"] == pytest.approx(plain(table), abs=1e-3)


def test_well_calibrated_scores_have_none_to_speak_of():
    """The plain error is about 0.1 here; ours is below 0.05 on average, and never negative."""
    tables = [frame(100, 1.0, seed) for seed in range(30)]
    values = [estimate(table, 100)["value"] for table in tables]
    assert np.mean([plain(table) for table in tables]) > 0.08
    assert np.mean(values) < 0.05
    assert min(values) >= 0


def test_intervals_of_well_calibrated_scores_reach_down_to_zero_and_not_below():
    """At 95 % in about 19 of 20 data sets."""
    found = [estimate(frame(200, 1.0, seed)) for seed in range(20)]
    assert min(row["low"] for row in found) == 0
    assert sum(row["low"] == 0 for row in found) >= 16
    assert min(row["high"] for row in found) > 0


def test_where_a_value_is_cut_at_zero_the_difference_says_that_it_is_not():
    """It would else be biased: two equal arms would differ where one is cut."""
    said = []
    for seed in range(10):
        pair = {"a": frame(100, 1.0, seed), "b": frame(100, 2.0, seed)}
        found = compare(pair, baseline="a", metrics=["ece"], resamples=100)
        a, b = found.estimates["value"]
        difference = found.comparisons["difference"].item()
        words = "b - a: an arm's value is below 0 and shown as 0; the difference"
        cut = any(words in warning for warning in found.warnings)
        assert cut == (min(a, b) == 0)
        assert difference > b - a if cut else difference == pytest.approx(b - a, abs=1e-12)
        said.append(cut)
    assert any(said)
    assert not all(said)


def test_copies_of_a_case_are_no_news():
    """Three copies of each case with its patient's id: the same value and interval."""
    once = frame(150, 1.5, seed=4)
    thrice = pd.concat([once.assign(image_id=once["image_id"] + k * 1000) for k in range(3)])
    one, three = estimate(once), estimate(thrice)
    for column in ("value", "low", "high", "closed_se"):
        assert three[column] == pytest.approx(one[column], abs=1e-12)
