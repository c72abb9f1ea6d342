import numpy as np
import pandas as pd
import pytest

from mtlbench.analysis.align import align
from mtlbench.errors import DataError

COUNTS = [f"{kind}_{k}" for kind in ("true", "pred", "both") for k in range(5)]


def test_order_is_that_of_patients_whatever_the_rows(make):
    frame = make(20, images_per_patient=2)
    cases, (one,) = align({"a": frame})
    again, (two,) = align({"a": frame.sample(frac=1, random_state=0)})
    assert cases.image_N.tolist() == again.image_N.tolist() == sorted(frame["image_id"])
    assert (one.score_SN == two.score_SN).all()
    assert (one.both_SNK == two.both_SNK).all()


def test_whole_numbers_and_text_name_the_same_cases(make):
    numbered = make(10).assign(image_id=range(10), patient_id=range(10))
    text = numbered.assign(image_id=numbered["image_id"].astype(str))
    cases, _ = align({"a": numbered, "b": text})
    assert cases.image_N.tolist() == [str(k) for k in range(10)]


def test_only_test_rows_count(make):
    frame = make(10).assign(split=["val"] * 4 + ["test"] * 6)
    assert len(align({"a": frame})[0].image_N) == 6
    with pytest.raises(DataError, match="arm 'a': no test cases"):
        align({"a": frame.assign(split="val")})


def test_a_split_that_is_not_understood_is_refused(make):
    with pytest.raises(DataError, match="split must be 'test', but got 'Test'"):
        align({"a": make(10).assign(split=["test"] * 5 + ["Test"] * 5)})


def test_other_cases_are_refused_with_their_ids(make):
    frame = make(10)
    with pytest.raises(DataError, match=r"only in a: i0003; only in b \(seed 0\): other"):
        align({"a": frame, "b": frame.replace({"image_id": {"i0003": "other"}})})


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("patient_id", "other", "patient_id of each image, but differ at i0003"),
        ("fold", 1, "fold of each image, but differ at i0003"),
        ("label", 0.5, "label must be 0 or 1"),
    ],
)
def test_other_patients_folds_and_labels_are_refused(column, value, message, make):
    frame = make(10).assign(fold=0)
    other = frame.astype({"patient_id": object, "label": float})
    other.loc[3, column] = value
    with pytest.raises(DataError, match=message):
        align({"a": frame, "b": other})


def test_other_truth_is_refused(make):
    frame = make(10)
    flipped = frame.copy()
    flipped.loc[3, "label"] = 1 - flipped.loc[3, "label"]
    with pytest.raises(DataError, match=r"agree on label, but differ at i0003"):
        align({"a": frame, "b": flipped})
    lesion = frame.index[frame["true_0"] < 400][0]
    healthy = frame.copy()
    healthy.loc[lesion, COUNTS] = 0
    healthy.loc[lesion, ["true_0", "pred_0", "both_0"]] = 400
    image = frame.loc[lesion, "image_id"]
    with pytest.raises(DataError, match=rf"agree on true_0..true_4, but differ at {image}"):
        align({"a": frame, "b": healthy})


def test_truth_that_an_arm_does_not_use_may_be_empty(make):
    frame = make(10)
    masks_only = frame.assign(label=np.nan, score=np.nan)
    scores_only = frame.drop(columns=COUNTS)
    cases, (one, two) = align({"seg": masks_only, "cls": scores_only})
    assert one.score_SN is None
    assert two.pred_SNK is None
    assert (cases.label_N == frame["label"]).all()


@pytest.mark.parametrize("columns", [["score"], COUNTS[5:]])
def test_an_empty_prediction_in_a_used_row_is_refused(columns, make):
    frame = make(10)
    frame.loc[7, columns] = np.nan
    with pytest.raises(DataError, match=r"arm 'a': row 7 \(image i0007\): \w+ must be given"):
        align({"a": frame})


def test_what_is_not_asked_for_is_not_checked(make):
    frame = make(10)
    frame.loc[7, "score"] = np.nan
    align({"a": frame}, scores=False)


def test_a_patient_in_two_folds_is_refused(make):
    frame = make(10, images_per_patient=2).assign(fold=[0, 1] * 5)
    with pytest.raises(DataError, match=r"one fold only: p0000, p0001"):
        align({"a": frame})


def test_seeds_with_other_cases_are_refused(make):
    seeds = pd.concat([make(10).assign(seed=0), make(10).iloc[1:].assign(seed=1)])
    with pytest.raises(DataError, match=r"only in a: i0000; only in a \(seed 1\): none"):
        align({"a": seeds.reset_index(drop=True)})
