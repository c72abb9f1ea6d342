import numpy as np
import pytest
import torch

from mtlbench.config import ModelConfig
from mtlbench.models.network import build_model
from mtlbench.training.findings import Prediction, find, match
from mtlbench.training.losses import LOSSES
from mtlbench.training.tasks import Tasks


def prediction(pred_HW, certainty):
    """With `certainty` for the class at each pixel, and the rest shared by the other four."""
    healthy_HW = np.where(pred_HW == 0, certainty, (1 - certainty) / 4)
    return Prediction(pred_HW.astype(np.uint8), healthy_HW.astype(np.float32))


def test_hits_misses_and_false_positives_by_hand():
    truth_HW = np.zeros((12, 12), dtype=np.uint8)
    truth_HW[1:5, 1:5] = 2
    truth_HW[8:10, 8:10] = 3
    pred_HW = np.zeros((12, 12), dtype=int)
    pred_HW[1:5, 1:4] = 1
    pred_HW[4, 1] = 2
    pred_HW[0, 11] = 4
    certainty = np.full((12, 12), 0.8)
    certainty[2, 2] = 0.96
    candidates, lesions = match(truth_HW, prediction(pred_HW, certainty))
    assert candidates == [
        {"class": 4, "score": pytest.approx(0.95), "hit": 0},
        {"class": 1, "score": pytest.approx(0.99), "hit": 1},
    ]
    assert lesions == [
        {"class": 2, "area_px": 16, "hit": 1, "score": pytest.approx(0.99)},
        {"class": 3, "area_px": 4, "hit": 0, "score": None},
    ]


def test_a_candidate_must_overlap_by_a_tenth_of_the_union():
    truth_HW = np.zeros((10, 30), dtype=np.uint8)
    truth_HW[0, :11] = 1
    pred_HW = np.zeros((10, 30), dtype=int)
    pred_HW[0, 10:20] = 1
    certainty = np.full((10, 30), 0.9)
    assert match(truth_HW, prediction(pred_HW, certainty))[1][0]["hit"] == 0
    pred_HW[0, 9] = 1
    assert match(truth_HW, prediction(pred_HW, certainty))[1][0]["hit"] == 1


def test_without_segmentation_lesions_are_listed_and_nothing_is_claimed():
    truth_HW = np.zeros((6, 6), dtype=np.uint8)
    truth_HW[2, 2] = truth_HW[3, 3] = 4
    assert match(truth_HW, None) == ([], [{"class": 4, "area_px": 2, "hit": None, "score": None}])


def test_rows_of_a_model(cohort):
    model = build_model(ModelConfig(backbone="small", output_stride=8), 0)
    tasks = Tasks(0.5, 0.5, LOSSES["cross-entropy"], torch.ones(5))
    case_N = cohort.split["train"]
    lesions, candidates = find(model, cohort, case_N, tasks)
    names = set(cohort.cases["image_id"].iloc[case_N])
    assert {row["image_id"] for row in lesions} | {row["image_id"] for row in candidates} <= names
    truth_px = sum(cohort.lesion_pixels(int(case)) for case in case_N)
    pixel_mm2 = (cohort.cases["spacing_mm"].iloc[0] / cohort.cases["scale"].iloc[0]) ** 2
    assert sum(row["area_mm2"] for row in lesions) == pytest.approx(truth_px * pixel_mm2, rel=1e-3)
