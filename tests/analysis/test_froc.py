"""FROC by hand, its intervals through `compare`, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from mtlbench.analysis import Findings, compare, load_findings
from mtlbench.errors import DataError


def predictions(n, images=1):
    """n images with a mask."""
    table = pd.DataFrame({"image_id": [f"i{k}" for k in range(n)], "label": "", "score": ""})
    table["patient_id"] = [f"p{k // images}" for k in range(n)]
    for kind in ("true", "pred", "both"):
        for k in range(5):
            table[f"{kind}_{k}"] = 100 if k == 0 else 0
    return table


def lesions(*rows):
    return pd.DataFrame(rows, columns=["image_id", "lesion", "hit", "score"])


def candidates(*rows):
    return pd.DataFrame(rows, columns=["image_id", "score", "hit"])


def value(findings, metric, n=4):
    frames = {"a": predictions(n)}
    result = compare(frames, metrics=[metric], resamples=100, findings={"a": findings})
    return result.estimates["value"].item()


BY_HAND = Findings(
    lesions(("i0", 1, 1, 0.9), ("i0", 2, 1, 0.5), ("i1", 1, 1, 0.3), ("i2", 1, 0, np.nan)),
    candidates(("i0", 0.9, 1), ("i3", 0.7, 0), ("i3", 0.4, 0), ("i1", 0.3, 1), ("i2", 0.2, 0)),
)
"""Found at .9, .5 and .3, one missed; false positives at .7, .4, .2; four images."""


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (0.125, 1 / 4),  # before the first false positive
        (0.25, 2 / 4),  # one in four images: what was found down to the next
        (0.5, 3 / 4),
        (1, 3 / 4),  # there are only three: the curve stays
    ],
)
def test_sensitivity_by_hand(rate, expected):
    assert value(BY_HAND, f"froc_at_{rate}") == pytest.approx(expected)


def test_froc_is_the_mean_over_five_rates():
    rates = (0.25, 0.5, 1, 2, 4)
    each = [value(BY_HAND, f"froc_at_{rate}") for rate in rates]
    assert value(BY_HAND, "froc") == pytest.approx(np.mean(each))


def with_more(*, lesion=(), candidate=()):
    return Findings(
        pd.concat([BY_HAND.lesions, lesions(*lesion)], ignore_index=True),
        pd.concat([BY_HAND.candidates, candidates(*candidate)], ignore_index=True),
    )


def test_only_test_images_count():
    more = with_more(lesion=[("i4", 1, 1, 0.99)], candidate=[("i4", 0.99, 1), ("i4", 0.98, 0)])
    frames = {"a": predictions(5).assign(split=["test"] * 4 + ["val"])}
    found = compare(frames, metrics=["froc"], resamples=100, findings={"a": more})
    assert found.estimates["value"].item() == value(BY_HAND, "froc")


def many(seed, n=120, skill=1.0):
    rng, truth = np.random.default_rng(seed), np.random.default_rng(0)
    with_lesion = np.flatnonzero(truth.random(n) < 0.5)
    strength = 1 / (1 + np.exp(-rng.normal(skill, 1, len(with_lesion))))
    hit = strength > 0.4
    wrong = np.repeat(np.arange(n), rng.poisson(1.0, n))
    scores = rng.beta(2, 2, len(wrong))
    return Findings(
        lesions(
            *(
                (f"i{k}", 1, int(h), s if h else np.nan)
                for k, h, s in zip(with_lesion, hit, strength, strict=True)
            )
        ),
        candidates(
            *((f"i{k}", s, 0) for k, s in zip(wrong, scores, strict=True)),
            *((f"i{k}", s, 1) for k, s in zip(with_lesion[hit], strength[hit], strict=True)),
        ),
    )


def test_its_standard_error_is_that_of_the_influences():
    """Bootstrap and closed form, which does not resample, within 15 %."""
    frames = {"a": predictions(120)}
    found = compare(frames, metrics=["froc"], resamples=1000, findings={"a": many(1)}).estimates
    assert found["se"].item() == pytest.approx(found["closed_se"].item(), rel=0.15)
    assert found["low"].item() < found["value"].item() < found["high"].item()
    assert found[["n_cases", "n_patients"]].iloc[0].tolist() == [120, 120]


def test_arms_are_paired_and_equal_ones_are_equal():
    frames = {name: predictions(120, images=2) for name in "abc"}
    findings = {"a": many(1), "b": many(2, skill=2.0), "c": many(1)}
    found = compare(frames, baseline="a", metrics=["froc"], resamples=300, findings=findings)
    b, c = (row for _, row in found.comparisons.iterrows())
    assert b["difference"] > 0
    assert b["low"] < b["difference"] < b["high"]
    assert (c["difference"], c["p"]) == (0, 1)
    n = len(many(1).lesions)
    assert f"froc: {n} lesions in {n} images" in found.warnings


def test_an_arm_without_findings_has_no_value():
    frames = {"a": predictions(4), "b": predictions(4)}
    found = compare(frames, metrics=["froc"], resamples=100, findings={"a": BY_HAND})
    assert found.estimates["value"].isna().tolist() == [False, True]
    assert any(w.startswith("froc, b: no value: it has no lesions.csv") for w in found.warnings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: Findings(f.lesions[1:], f.candidates), "same lesions, but differ in i0"),
        (
            lambda f: Findings(f.lesions.assign(hit=2), f.candidates),
            "hit must be 0 or 1, but got 2",
        ),
        (
            lambda f: Findings(f.lesions, f.candidates.assign(score=1.5)),
            r"score must be in \[0, 1\]",
        ),
        (
            lambda f: Findings(f.lesions.assign(score=np.nan), f.candidates),
            "score must be given where hit is 1",
        ),
        (
            lambda f: Findings(pd.concat([f.lesions, f.lesions]), f.candidates),
            "lesion must be unique",
        ),
        (lambda f: Findings(f.lesions.drop(columns="hit"), f.candidates), "column hit is missing"),
        (
            lambda f: Findings(f.lesions, f.candidates[f.candidates["image_id"] != "i1"]),
            r"lesions: row 2 \(image i1\): hit is 1, so a candidate of the image must have hit 1",
        ),
    ],
)
def test_faults_are_refused(change, message):
    frames = {"a": predictions(4), "b": predictions(4)}
    with pytest.raises(DataError, match=message):
        compare(frames, metrics=["froc"], findings={"a": BY_HAND, "b": change(BY_HAND)})


def test_a_lesion_of_the_truth_must_have_a_row_hit_or_not():
    """Without its row what is missed would not count."""
    frame = predictions(4)
    frame["true_1"] = [0, 30, 0, 20]
    frame["true_0"] = frame["both_0"] = 100 - frame["true_1"]
    missing = r"lesions \(seed 0\): each image with a lesion by true_1..true_4 .*none: i3"
    with pytest.raises(DataError, match=missing):
        compare({"a": frame}, metrics=["froc"], findings={"a": BY_HAND})
    told = with_more(lesion=[("i3", 1, 0, np.nan)])
    found = compare({"a": frame}, metrics=["froc"], resamples=100, findings={"a": told})
    assert found.estimates["value"].item() < value(BY_HAND, "froc")


def test_files_beside_the_predictions(tmp_path):
    path = tmp_path / "predictions.csv"
    assert load_findings(path) is None
    predictions(4).to_csv(path, index=False)
    BY_HAND.lesions.to_csv(tmp_path / "lesions.csv", index=False)
    with pytest.raises(DataError, match=r"candidates\.csv: must stand beside lesions\.csv"):
        load_findings(path)
    BY_HAND.candidates.to_csv(tmp_path / "candidates.csv", index=False)
    assert value(load_findings(path), "froc") == value(BY_HAND, "froc")
    strange = with_more(lesion=[("I0", 1, 0, np.nan)], candidate=[("I0", 0.9, 0)])
    for name, line in (("lesions", 6), ("candidates", 7)):
        getattr(strange, name).to_csv(tmp_path / f"{name}.csv", index=False)
        must = rf"{name}\.csv: line {line} \(image I0\): image_id must be one of predictions\.csv"
        with pytest.raises(DataError, match=must):
            load_findings(path)
        getattr(BY_HAND, name).to_csv(tmp_path / f"{name}.csv", index=False)
    other_case = BY_HAND.candidates.assign(image_id=BY_HAND.candidates["image_id"].str.upper())
    other_case.to_csv(tmp_path / "candidates.csv", index=False)
    with pytest.raises(DataError, match=r"candidates\.csv: line 2 .*must be one of predictions"):
        load_findings(path)
    BY_HAND.candidates.assign(hit="yes").to_csv(tmp_path / "candidates.csv", index=False)
    with pytest.raises(DataError, match=r"candidates\.csv: line 2 .*hit must be a number"):
        load_findings(path)
