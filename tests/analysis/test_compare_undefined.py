"""Metrics that are not defined, or not to be relied on, and what is said of them."""

import numpy as np
import pandas as pd
import pytest

from mtlbench.analysis import METRICS, compare

COUNTS = [f"{kind}_{k}" for kind in ("true", "pred", "both") for k in range(5)]


def row(result, arm, metric="auc"):
    table = result.estimates
    return table[(table["arm"] == arm) & (table["metric"] == metric)].iloc[0]


@pytest.fixture(scope="module")
def frames(make):
    return {name: make(90, images_per_patient=3, seed=k) for k, name in enumerate("abc")}


def test_an_arm_without_a_task_is_null_with_a_reason(frames):
    tables = {
        "cls": frames["a"].drop(columns=COUNTS),
        "seg": frames["b"].assign(score=np.nan),
        "joint": frames["c"],
    }
    found = compare(tables, baseline="cls", metrics=["auc", "dice"], resamples=100)
    assert found.estimates.set_index(["arm", "metric"])["value"].isna().to_dict() == {
        (arm, metric): (arm, metric) in {("cls", "dice"), ("seg", "auc")}
        for arm in tables
        for metric in ("auc", "dice")
    }
    assert "auc, seg: no value: it has no scores" in found.warnings
    assert "dice, cls: no value: it has no predicted masks" in found.warnings
    assert "dice, joint - cls: no difference: one of the two has no value" in found.warnings
    assert found.comparisons["p_adjusted"].notna().sum() == 1


def test_a_class_that_the_truth_lacks_is_named_and_its_pixels_counted(make):
    frame = make(60, classes=(1, 2, 3))
    lesions = frame["pred_3"] - frame["both_3"]
    frame["pred_3"] -= lesions
    frame["pred_4"] += lesions
    found = compare({"a": frame}, metrics=["dice"], resamples=100)
    assert found.classes["dice"] == (
        "healthy",
        "benign mass",
        "malignant mass",
        "benign calcification",
    )
    assert (
        "dice: class 'malignant calcification' is not in the truth of the test set and not "
        f"averaged; pixels that are wrongly predicted as it: a {lesions.sum()}"
    ) in found.warnings
    value = np.mean(
        2
        * frame[[f"both_{k}" for k in range(4)]].sum().to_numpy()
        / (
            frame[[f"true_{k}" for k in range(4)]].sum().to_numpy()
            + frame[[f"pred_{k}" for k in range(4)]].sum().to_numpy()
        )
    )
    assert row(found, "a", "dice")["value"] == pytest.approx(value)


def test_rare_classes_give_undefined_resamples_and_a_warning(make):
    frame = make(40, classes=(1,))
    rare = frame.index[frame["true_1"] > 0][:2]
    for kind in ("true", "pred", "both"):
        frame.loc[rare, [f"{kind}_1", f"{kind}_2"]] = frame.loc[
            rare, [f"{kind}_2", f"{kind}_1"]
        ].to_numpy()
    found = compare({"a": frame}, metrics=["dice"], resamples=1000)
    undefined = row(found, "a", "dice")["n_undefined"]
    assert 0.08 < undefined / 1000 < 0.19
    assert any("resamples are undefined" in warning for warning in found.warnings)
    assert any(
        w.startswith("dice: only 2 test patients have malignant mass") for w in found.warnings
    )


def degenerate(make):
    frame = make(40)
    two = frame.assign(label=0)
    two.loc[[3, 5], "label"] = 1
    one = two.assign(label=0)
    one.loc[3, "label"] = 1
    nothing = frame.copy()
    nothing[[f"pred_{k}" for k in range(1, 5)]] = 0
    nothing["pred_0"], nothing["both_0"] = 400, nothing["true_0"]
    nothing[[f"both_{k}" for k in range(1, 5)]] = 0
    return {
        "one class": frame.assign(label=1),
        "one positive": one,
        "two positives": two,
        "perfect": frame.assign(score=frame["label"]),
        "inverted": frame.assign(score=1 - frame["label"]),
        "constant": frame.assign(score=0.5),
        "one patient": frame.assign(patient_id="p"),
        "two patients": frame.assign(patient_id=["p", "q"] * 20),
        "one case": frame.iloc[:1],
        "nothing predicted": nothing,
        "no labels": frame.assign(label=np.nan),
        "nothing": frame[["image_id", "patient_id"]].assign(label=np.nan, score=np.nan),
    }


def test_degenerate_input_gives_a_reason_or_an_interval(make):
    for what, frame in degenerate(make).items():
        found = compare({"a": frame}, metrics=METRICS, resamples=200)
        for _, estimate in found.estimates.iterrows():
            title = f"{estimate['metric']}, a: "
            if np.isnan(estimate["low"]):
                assert np.isnan(estimate["high"]), what
                assert any(w.startswith(f"{title}no ") for w in found.warnings), (what, title)
            else:
                assert 0 <= estimate["low"] < estimate["value"] < estimate["high"] <= 1, what
    found = compare({"a": degenerate(make)["perfect"]}, resamples=200)
    assert found.estimates["value"].item() == 1
    assert "auc, a: no interval: not estimable at 1" in found.warnings


def test_few_positive_patients_are_warned_of(make):
    found = compare({"a": make(30)}, resamples=100)
    assert any(
        "test patients have a positive case: with fewer than 20" in w for w in found.warnings
    )
    assert not any("fewer than 20" in w for w in compare({"a": make(200)}, resamples=100).warnings)


def test_what_is_warned_of_is_not_reliable(make):
    many, few = make(200), make(30)
    for frame, good in ((many, True), (few, False)):
        pair = {"a": frame, "b": frame.assign(score=1 - frame["score"])}
        found = compare(pair, baseline="a", resamples=100)
        assert found.estimates["reliable"].tolist() == [good, good]
        assert found.comparisons["reliable"].tolist() == [good]
        assert found.comparisons["reliable"].dtype == bool
        assert found.comparisons["doubts"].tolist() == ["" if good else "too few patients"]
    none = compare({"a": many, "b": many.assign(score=np.nan)}, baseline="a", resamples=100)
    assert none.estimates["reliable"].tolist() == [True, False]
    assert none.comparisons["reliable"].tolist() == [False]


def test_undefined_resamples_make_an_arm_and_its_difference_unreliable(make):
    """An AUC of 1 in nearly every resample: one positive scores below one negative."""
    frame = make(200)
    score = 0.25 + 0.5 * frame["label"]
    score[frame.index[frame["label"] == 1][0]] = 0.2
    pair = {"a": frame, "b": frame.assign(score=score)}
    found = compare(pair, baseline="a", resamples=200)
    assert row(found, "b")["n_undefined"] > 2
    assert found.estimates["reliable"].tolist() == [True, False]
    assert found.comparisons["reliable"].tolist() == [False]
    assert found.estimates["doubts"].tolist() == ["", "undefined resamples"]
    assert found.comparisons["doubts"].tolist() == ["undefined resamples"]


def test_p_agrees_with_the_interval_of_few_patients():
    """Undefined resamples and random seeds included."""
    rng, seen = np.random.default_rng(0), 0
    for trial in range(40):
        label = np.r_[1, 1, 0, 0, rng.integers(0, 2, trial % 8)]
        ids = {"image_id": np.arange(len(label)), "patient_id": np.arange(len(label))}
        arms = {
            name: pd.concat(
                pd.DataFrame({**ids, "label": label, "seed": seed}).assign(
                    score=np.clip(shift * label + rng.random(len(label)).round(1), 0, 1)
                )
                for seed in range((1, 3)[trial % 2])
            )
            for name, shift in (("a", 0), ("b", 0.3))
        }
        found = compare(arms, baseline="a", resamples=200).comparisons.iloc[0]
        if np.isfinite(found["low"]):
            seen += 1
            assert (found["p"] < 0.05) == (found["low"] > 0 or found["high"] < 0)
    assert seen > 20
