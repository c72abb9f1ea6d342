import numpy as np
import pandas as pd
import pytest

from mtlbench.analysis import load_predictions
from mtlbench.analysis.frame import check
from mtlbench.errors import DataError


def test_a_file_reads_as_written(make, tmp_path):
    frame = make(12)
    frame.loc[3, "label"] = np.nan
    frame.to_csv(tmp_path / "predictions.csv", index=False)
    read = load_predictions(tmp_path / "predictions.csv")
    assert read.index.tolist() == list(range(2, 14))
    pd.testing.assert_frame_equal(
        read[frame.columns].reset_index(drop=True), frame, check_dtype=False
    )


def test_ids_stay_text(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("image_id,patient_id,label,score\n007,NA,1,0.5\n", encoding="utf-8")
    assert load_predictions(path)[["image_id", "patient_id"]].values.tolist() == [["007", "NA"]]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("image_id", "", "image_id must not be empty"),
        ("patient_id", "", "patient_id must not be empty"),
        ("label", "2", "label must be 0 or 1, but got 2.0"),
        ("score", "high", "score must be a number, but got 'high'"),
        ("score", "inf", "score must be in [0, 1] or empty, but got inf"),
        ("score", "1.01", "score must be in [0, 1] or empty, but got 1.01"),
        ("score", "-0.5", "score must be in [0, 1] or empty, but got -0.5"),
        ("true_1", "", "the true counts of a row must be all given or all empty"),
        ("pred_1", "", "the pred and both counts of a row must be all given or all empty"),
        ("pred_1", "1.5", "counts of pixels must be whole numbers >= 0"),
        ("both_1", "-1", "counts of pixels must be whole numbers >= 0"),
        ("both_1", "401", "both_k must be <= true_k and pred_k"),
        ("pred_1", "399", "must add up alike"),
    ],
)
def test_a_fault_names_file_line_and_image(column, value, message, make, tmp_path):
    frame = make(9).astype(object)
    frame.loc[4, column] = value
    path = tmp_path / "predictions.csv"
    frame.to_csv(path, index=False)
    image = value if column == "image_id" else "i0004"
    with pytest.raises(DataError) as caught:
        load_predictions(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: line 6 (image {image}): ")
    assert message in text


def test_impossible_overlap_is_refused(make):
    frame = make(5)
    frame.loc[2, [f"{kind}_{k}" for kind in ("true", "pred", "both") for k in range(5)]] = 0
    frame.loc[2, ["true_0", "true_1", "pred_0", "pred_1", "both_0"]] = [390, 10, 400, 0, 380]
    with pytest.raises(DataError, match=r"pred_k - both_k must be <= the other true_k"):
        check(frame, "arm 'a'")


def test_duplicates_are_refused_within_a_seed_only(make):
    frame = make(6)
    twice = pd.concat([frame, frame.iloc[[2]]], ignore_index=True)
    with pytest.raises(DataError, match=r"row 6 \(image i0002\): image_id must be unique"):
        check(twice, "arm 'a'")
    check(pd.concat([frame.assign(seed=0), frame.assign(seed=1)], ignore_index=True), "arm 'a'")


def test_a_seed_in_some_rows_only_is_refused(make):
    frame = make(6).assign(seed=[0, 0, 0, np.nan, 1, 1])
    with pytest.raises(DataError, match=r"row 3 .*seed must be given in every row or in none"):
        check(frame, "arm 'a'")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a table"),
        ("image_id,label\na,1\n", "column patient_id is missing"),
        ("image_id,patient_id,score\na,a,0.5\n", r"p\.csv: column label is missing"),
        ("image_id,patient_id,label\na,a,1\n", r"p\.csv: column score is missing"),
        ('image_id,patient_id\n"a,1\n', "not a table"),
    ],
)
def test_what_is_no_table_of_predictions_is_refused(text, message, tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        load_predictions(path)
    with pytest.raises(DataError, match="no such file"):
        load_predictions(tmp_path / "absent.csv")
