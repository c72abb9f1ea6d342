"""Test sets that say little: each number has an interval of some width, or a reason for none."""

import warnings

import numpy as np
import pandas as pd
import pytest

from mtlbench.analysis import METRICS, compare
from mtlbench.analysis.intervals import METHODS

N = 40
KINDS = ("true", "pred", "both")
CHANGES = {
    "one class": {"label": 1},
    "one positive": {"label": [1, *[0] * (N - 1)]},
    "two positives": {"label": [1, 1, *[0] * (N - 2)]},
    "constant scores": {"score": 0.5},
    "one patient": {"patient_id": "p"},
    "two patients": {"patient_id": ["p"] * (N // 2) + ["q"] * (N // 2)},
    "no lesion": {f"{kind}_{k}": 400 * (k == 0) for kind in KINDS for k in range(5)},
    "no lesion hit": {f"both_{k}": 0 for k in range(1, 5)},
}


@pytest.fixture(params=[*CHANGES, "perfect AUC", "one case"])
def frames(request, make):
    one, other = make(N, seed=1), make(N, seed=2)
    if request.param == "one case":
        return {"a": one[:1], "b": other[:1]}
    if request.param == "perfect AUC":
        return {"a": one.assign(score=0.2 + 0.6 * one["label"]), "b": other}
    return {
        name: frame.assign(**CHANGES[request.param])
        for name, frame in zip("ab", (one, other), strict=True)
    }


@pytest.mark.parametrize("method", [None, *METHODS])
def test_each_number_has_an_interval_or_a_reason(frames, method):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compare(frames, baseline="a", metrics=METRICS, resamples=100, method=method)
    for row in found.estimates.to_dict("records"):
        _check(row, row["value"], f"{row['metric']}, {row['arm']}: no ", found.warnings)
    for row in found.comparisons.to_dict("records"):
        title = f"{row['metric']}, b - a: "
        _check(row, row["difference"], title, found.warnings)
        assert np.isnan(row["p"]) or 1 / 101 <= row["p"] <= 1


@pytest.mark.parametrize("method", [None, *METHODS])
@pytest.mark.parametrize("metric", ["dice", "dice_image"])
def test_a_mean_dice_without_any_lesion_has_no_interval(make, metric, method):
    """Healthy pixels vary from patient to patient, but say nothing of how lesions are found."""
    missed = make(N, seed=1).assign(**{f"both_{k}": 0 for k in range(1, 5)})
    frames = {"missed": missed, "other": make(N, seed=2)}
    frames["missed too"] = make(N, seed=3).assign(**{f"both_{k}": 0 for k in range(1, 5)})
    found = compare(frames, baseline="missed", metrics=[metric], resamples=100, method=method)
    rows = found.estimates.set_index("arm")
    assert (rows["value"] > 0).all()
    assert rows["low"].isna().to_dict() == {"missed": True, "other": False, "missed too": True}
    assert rows["closed_low"].isna().to_dict() == rows["low"].isna().to_dict()
    rows = found.comparisons.set_index("arm")
    assert rows["low"].isna().to_dict() == {"other": False, "missed too": True}
    why = "no interval: not estimable where the Dice of every lesion class is 0"
    for title in ("missed", "missed too", "missed too - missed"):
        assert f"{metric}, {title}: {why}" in found.warnings


def test_one_lesion_hit_by_one_seed_is_enough_for_an_interval(make):
    missed = make(N, seed=1).assign(**{f"both_{k}": 0 for k in range(1, 5)}, seed=0)
    frames = {"a": pd.concat([missed, make(N, seed=2).assign(seed=1)])}
    row = compare(frames, metrics=["dice"], resamples=100).estimates.iloc[0]
    assert row["low"] < row["value"] < row["high"]


def _check(row, value, title, said):
    if np.isnan(value) or np.isnan(row["low"]):
        assert any(line.startswith(title) for line in said), row
        return
    assert row["low"] < row["high"], row
    assert np.isfinite([row["low"], row["high"]]).all()
