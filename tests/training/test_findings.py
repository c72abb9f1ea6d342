import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from mtlbench.training.evaluate import Segmentation, predict_classes
from mtlbench.training.findings import Prediction, find, match


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


def by_hand(truth_HW, probability_KHW):
    """Candidates, and hit and score of each lesion, from whole masks one by one."""
    pred_HW = probability_KHW.argmax(axis=0)
    lesions = [mask_HW for k in range(1, 5) for mask_HW in components(truth_HW == k)]
    candidates, hits = [], []
    for mask_HW in components(pred_HW > 0):
        values, times = np.unique(pred_HW[mask_HW], return_counts=True)
        hits.append([(mask_HW & one).sum() / (mask_HW | one).sum() >= 0.1 for one in lesions])
        score = probability_KHW[1:].sum(axis=0)[mask_HW].max()
        candidates.append((values[times.argmax()], score, any(hits[-1])))
    scores = [
        [found[1] for found, hit in zip(candidates, hits, strict=True) if hit[n]]
        for n in range(len(lesions))
    ]
    return candidates, [(bool(s), max(s, default=None)) for s in scores]


def components(mask_HW):
    numbers_HW, count = ndimage.label(mask_HW, structure=np.ones((3, 3)))
    return [numbers_HW == number for number in range(1, count + 1)]


def test_rows_are_those_of_whole_masks_at_full_resolution(cohort):
    (batch,) = cohort.eval_batches(cohort.split["train"], len(cohort.split["train"]))
    size, random = batch.mask_BHW.shape[-2:], torch.Generator().manual_seed(0)
    lesion_BKHW = torch.stack([batch.mask_BHW == k for k in range(5)], dim=1).float()
    logit_BKhw = 3 * F.interpolate(lesion_BKHW, (16, 12), mode="area")  # some are found
    logit_BKhw += torch.randn(logit_BKhw.shape, generator=random)
    segmentation = Segmentation(logit_BKhw, predict_classes(logit_BKhw, *size))
    lesion_rows, candidate_rows = find(cohort.cases, batch, segmentation)
    probability_BKHW = F.interpolate(logit_BKhw, size, mode="bilinear").softmax(dim=1).numpy()
    candidates, lesions, names = [], [], cohort.cases["image_id"].to_numpy()[batch.case_B]
    for name, truth_HW, probability_KHW in zip(
        names, batch.mask_BHW.numpy(), probability_BKHW, strict=True
    ):
        found, there = by_hand(truth_HW, probability_KHW)
        candidates += [(name, k, pytest.approx(score, abs=2e-6), hit) for k, score, hit in found]
        lesions += [(name, hit, score and pytest.approx(score, abs=2e-6)) for hit, score in there]
    found = [
        tuple(row[key] for key in ("image_id", "class", "score", "hit")) for row in candidate_rows
    ]
    assert found == candidates
    assert [(row["image_id"], row["hit"], row["score"]) for row in lesion_rows] == lesions
    assert {row["hit"] for row in candidate_rows} == {row["hit"] for row in lesion_rows} == {0, 1}


def test_lesions_have_an_area_and_a_case_without_a_mask_no_rows(cohort):
    (batch,) = cohort.eval_batches(cohort.split["train"], len(cohort.split["train"]))
    cases = cohort.cases.copy()
    without = batch.case_B[[cohort.lesion_pixels(int(case)) > 0 for case in batch.case_B]][0]
    cases.loc[without, "has_mask"] = 0
    rows, candidates = find(cases, batch, None)
    assert candidates == []
    kept = set(batch.case_B.tolist()) - {int(without)}
    truth_px = sum(cohort.lesion_pixels(case) for case in kept)
    pixel_mm2 = (cases["spacing_mm"].iloc[0] / cases["scale"].iloc[0]) ** 2
    assert sum(row["area_mm2"] for row in rows) == pytest.approx(truth_px * pixel_mm2, rel=1e-3)
    assert {row["image_id"] for row in rows} <= set(cases["image_id"].loc[sorted(kept)])
