import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from mtlbench.analysis import roc_band
from mtlbench.errors import DataError


def test_curve_is_scikit_learns(make):
    frame = make(80).assign(score=lambda table: table["score"].round(1))
    band = roc_band(frame, resamples=100)
    fpr, tpr, _ = roc_curve(frame["label"], frame["score"], drop_intermediate=False)
    assert band["tpr"].to_numpy() == pytest.approx(np.interp(band["fpr"], fpr, tpr))
    area = np.trapezoid(band["tpr"], band["fpr"])
    assert area == pytest.approx(roc_auc_score(frame["label"], frame["score"]), abs=0.005)


def test_band_holds_the_curve_and_ends_in_the_corner(make):
    band = roc_band(make(120), resamples=300)
    inside = (band["low"] <= band["tpr"] + 1e-12) & (band["tpr"] <= band["high"] + 1e-12)
    assert inside.mean() > 0.98
    assert band.iloc[-1].tolist() == [1, 1, 1, 1]
    assert (band["high"] - band["low"]).max() > 0.1


def test_curve_is_the_mean_over_seeds(make):
    one, two = make(60, seed=1), make(60, seed=2)
    both = pd.concat([one.assign(seed=0), two.assign(seed=1)], ignore_index=True)
    parts = [roc_band(frame, resamples=50)["tpr"] for frame in (one, two)]
    assert roc_band(both, resamples=50)["tpr"].to_numpy() == pytest.approx(sum(parts) / 2)


def test_the_same_seed_gives_the_same_band_whatever_the_rows(make):
    frame = make(60)
    shuffled = frame.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(
        roc_band(frame, resamples=60, seed=3), roc_band(shuffled, resamples=60, seed=3)
    )
    other = roc_band(frame, resamples=60, seed=4)
    assert (other["low"] != roc_band(frame, resamples=60, seed=3)["low"]).any()


def test_without_scores_or_a_class_there_is_no_curve(make):
    with pytest.raises(DataError, match="needs scores and labels"):
        roc_band(make(20).assign(score=np.nan))
    with pytest.raises(DataError, match="needs positive and negative cases"):
        roc_band(make(20).assign(label=1))
