import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve as sklearn_calibration
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from mtlbench.analysis import (
    Findings,
    calibration_curve,
    dice_profile,
    froc_band,
    pr_band,
    roc_band,
)
from mtlbench.errors import DataError

KINDS = ("true", "pred", "both")


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


def test_precision_is_that_of_the_first_threshold_that_reaches_a_recall(make):
    frame = make(80).assign(score=lambda table: table["score"].round(1))
    band = pr_band(frame, resamples=50)
    precision, recall, _ = precision_recall_curve(frame["label"], frame["score"])
    for _, row in band.iloc[1:].iterrows():
        first = np.flatnonzero(recall >= row["recall"] - 1e-9)[-1]
        assert row["precision"] == pytest.approx(precision[first])
    area = np.trapezoid(band["precision"], band["recall"])
    assert area == pytest.approx(average_precision_score(frame["label"], frame["score"]), abs=0.02)
    assert band.iloc[-1]["precision"] >= frame["label"].mean()


def test_precision_at_recall_0_is_that_of_the_first_positive(make):
    """The case with the highest score is negative: no threshold above it finds anything."""
    frame = make(40)
    frame.loc[frame["label"].idxmin(), "score"] = 1.0
    first = frame.loc[frame["label"] == 1, "score"].max()
    above = frame.loc[frame["score"] >= first, "label"]
    assert pr_band(frame, resamples=50).iloc[0]["precision"] == above.mean() < 1


def test_calibration_pools_seeds(make):
    """Both seeds' cases in one table have the same fractions and means, and twice the cases."""
    one, two = make(80, seed=1), make(80, seed=2)
    seeds = pd.concat([one.assign(seed=0), two.assign(seed=1)], ignore_index=True)
    fraction, mean = sklearn_calibration(seeds["label"], seeds["score"], n_bins=10)
    curve = calibration_curve(seeds)
    assert curve["fraction"].to_numpy() == pytest.approx(fraction)
    assert curve["score"].to_numpy() == pytest.approx(mean)
    assert curve["n"].sum() == 80


def test_calibration_is_scikit_learns(make):
    frame = make(200)
    curve = calibration_curve(frame)
    fraction, mean = sklearn_calibration(frame["label"], frame["score"], n_bins=10)
    assert curve["fraction"].to_numpy() == pytest.approx(fraction)
    assert curve["score"].to_numpy() == pytest.approx(mean)
    assert curve["n"].sum() == 200


def test_a_bins_interval_is_wilsons_where_each_patient_has_one_case(make):
    frame = make(100).assign(patient_id=lambda table: table["image_id"])
    for _, row in calibration_curve(frame, level=0.9).iterrows():
        positives = round(row["fraction"] * row["n"])
        exact = binomtest(positives, int(row["n"])).proportion_ci(0.9, method="wilson")
        assert (row["low"], row["high"]) == pytest.approx((exact.low, exact.high))


def test_a_bins_interval_counts_a_patients_copies_once_and_always_has_a_width(make):
    frame = make(60).assign(patient_id=lambda table: table["image_id"])
    copies = [frame.assign(image_id=frame["image_id"] + end) for end in ("a", "b", "c")]
    once, thrice = calibration_curve(frame), calibration_curve(pd.concat(copies))
    pd.testing.assert_frame_equal(once.drop(columns="n"), thrice.drop(columns="n"))
    assert thrice["n"].tolist() == (3 * once["n"]).tolist()
    sure = once[once["fraction"].isin([0, 1])]
    assert not sure.empty
    assert (sure["high"] - sure["low"] > 0.1).all()


def test_dice_profile_is_the_share_of_images_that_reach_a_dice(make):
    frame = make(60)
    profile = dice_profile(frame, resamples=100)
    true = frame[[f"true_{k}" for k in range(1, 5)]].sum(axis=1)
    pred = frame[[f"pred_{k}" for k in range(1, 5)]].sum(axis=1)
    both = true - frame["pred_0"] + frame["both_0"]
    dice = (2 * both / (true + pred))[true > 0]
    for _, row in profile.iloc[::20].iterrows():
        assert row["fraction"] == pytest.approx((dice >= row["dice"] - 1e-9).mean())
    assert profile["fraction"].is_monotonic_decreasing
    healthy = frame.assign(**{f"{kind}_{k}": 0 for kind in KINDS for k in range(1, 5)})
    healthy = healthy.assign(**{f"{kind}_0": 400 for kind in KINDS})
    with pytest.raises(DataError, match="needs an image with a lesion"):
        dice_profile(healthy)


def test_froc_by_hand(make):
    """Two lesions; one is found above the first of two false positives in two images."""
    frame = make(2).assign(label=np.nan, score=np.nan)
    lesions = pd.DataFrame(
        {"image_id": ["i0000", "i0001"], "lesion": 1, "hit": 1, "score": [0.9, 0.3]}
    )
    candidates = pd.DataFrame(
        {
            "image_id": ["i0000", "i0000", "i0000", "i0001"],
            "score": [0.9, 0.5, 0.2, 0.3],
            "hit": [1, 0, 0, 1],
        }
    )
    curve = froc_band(frame, Findings(lesions, candidates), resamples=50)
    low, high = (curve[curve["false_positives"].between(*ends)] for ends in ((0, 0.49), (0.51, 8)))
    assert (low["sensitivity"] == 0.5).all()
    assert (high["sensitivity"] == 1).all()
    assert curve["false_positives"].iloc[-1] == pytest.approx(1)  # where the last candidate lies
    nothing = Findings(lesions.assign(hit=0), candidates[:0])
    assert froc_band(frame, nothing, resamples=50)["false_positives"].tolist() == [0.125]
