"""Test sets that say little: each number has an interval of some width, or a reason for none."""

import warnings

import numpy as np
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


def _check(row, value, title, said):
    if np.isnan(value) or np.isnan(row["low"]):
        assert any(line.startswith(title) for line in said), row
        return
    assert row["low"] < row["high"], row
    assert np.isfinite([row["low"], row["high"]]).all()
