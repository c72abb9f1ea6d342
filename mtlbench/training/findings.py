"""Lesions found and missed, and what was found beside them: the rows that a FROC curve needs.

A lesion is a connected component (8 neighbours) of one class in the prepared truth, a candidate
one of the pixels predicted to be any lesion. A candidate hits a lesion where their intersection
over union is at least `HIT_IOU`, whatever its class; its score is the largest probability of any
lesion within it.

B = batch, H W = image size, C = candidates of an image, L = its lesions, K = classes, M = pixels.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from mtlbench.config import CLASSES, HIT_IOU
from mtlbench.data.resident import Batch
from mtlbench.training.evaluate import Segmentation
from mtlbench.training.tail import upsampled

LESIONS = ("image_id", "lesion", "class", "area_mm2", "hit", "score")
CANDIDATES = ("image_id", "class", "score", "hit")
_EIGHT = np.ones((3, 3), dtype=int)
K = len(CLASSES)
Rows = list[dict[str, Any]]
Numbers = NDArray[np.int32]
"""Of the component at each pixel, from 1; 0 where there is none."""


class Prediction(NamedTuple):
    """Of an image's pixels: the most likely class; where that is a lesion, P(healthy)."""

    class_HW: NDArray[np.uint8]
    healthy_HW: NDArray[np.float32]


def find(cases: pd.DataFrame, batch: Batch, segmentation: Segmentation | None) -> tuple[Rows, Rows]:
    """Rows of lesions.csv and candidates.csv for those of a batch's cases that have a mask.

    A model that does not segment has no candidates, and its lesions no `hit`.
    """
    lesion_rows: Rows = []
    candidate_rows: Rows = []
    for i, (_, row) in enumerate(cases.iloc[batch.case_B].iterrows()):
        if not row["has_mask"]:
            continue
        prediction = None if segmentation is None else _prediction(segmentation, i)
        candidates, lesions = match(batch.mask_BHW[i].cpu().numpy(), prediction)
        pixel_mm2 = (row["spacing_mm"] / row["scale"]) ** 2
        for number, lesion in enumerate(lesions, start=1):
            area = lesion.pop("area_px") * pixel_mm2
            area_mm2 = None if np.isnan(area) else round(float(area), 3)
            head = {"image_id": row["image_id"], "lesion": number, "area_mm2": area_mm2}
            lesion_rows.append(head | lesion)
        candidate_rows += [{"image_id": row["image_id"]} | found for found in candidates]
    return lesion_rows, candidate_rows


def match(truth_HW: NDArray[np.uint8], prediction: Prediction | None) -> tuple[Rows, Rows]:
    """Candidates and lesions of one image, matched."""
    box = _box((truth_HW > 0) & (truth_HW < K))
    lesion_HW, class_L = _lesions(truth_HW[box])
    area_L = _areas(lesion_HW, len(class_L))
    lesions = [
        {"class": k, "area_px": area, "hit": None, "score": None}
        for k, area in zip(class_L, area_L.tolist(), strict=True)
    ]
    if prediction is None:
        return [], lesions
    candidate_HW, area_C, class_C, score_C = _candidates(prediction)
    hit_CL = _iou(candidate_HW[box], lesion_HW, area_C, area_L) >= HIT_IOU
    for lesion, hit_C in zip(lesions, hit_CL.T, strict=True):
        lesion["hit"] = int(hit_C.any())
        lesion["score"] = max(np.array(score_C)[hit_C].tolist(), default=None)
    candidates = [
        {"class": k, "score": score, "hit": int(hit_L.any())}
        for k, score, hit_L in zip(class_C, score_C, hit_CL, strict=True)
    ]
    return candidates, lesions


def _box(lesion_HW: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rectangle that holds all lesions, which are small: the rest need not be looked at."""
    rows = np.flatnonzero(lesion_HW.any(axis=1))
    if not len(rows):
        return slice(0), slice(0)
    band = slice(rows[0], rows[-1] + 1)
    columns = np.flatnonzero(lesion_HW[band].any(axis=0))
    return band, slice(columns[0], columns[-1] + 1)


def _areas(number_HW: Numbers, count: int) -> NDArray[np.int64]:
    """Pixels of each of `count` components."""
    return np.bincount(number_HW.ravel(), minlength=count + 1)[1:]


def _prediction(segmentation: Segmentation, i: int) -> Prediction:
    """Of the i-th image of a batch; probabilities are made for bands with a lesion alone."""
    class_HW = segmentation.class_BHW[i].cpu().numpy()
    healthy_HW = np.ones(class_HW.shape, dtype=np.float32)
    if class_HW.any():
        for rows, logit_1KRW in upsampled(segmentation.logit_BKhw[i : i + 1], class_HW.shape):
            if class_HW[rows].any():
                healthy_HW[rows] = logit_1KRW.softmax(dim=1)[0, 0].cpu().numpy()
    return Prediction(class_HW, healthy_HW)


def _lesions(truth_HW: NDArray[np.uint8]) -> tuple[Numbers, list[int]]:
    """Numbered class by class, and the class of each."""
    lesion_HW = np.zeros(truth_HW.shape, dtype=np.int32)
    class_L: list[int] = []
    for k in range(1, K):
        of_class_HW, count = _components(truth_HW == k)
        inside_HW = of_class_HW > 0
        lesion_HW[inside_HW] = of_class_HW[inside_HW] + len(class_L)
        class_L += [k] * count
    return lesion_HW, class_L


def _candidates(
    prediction: Prediction,
) -> tuple[Numbers, NDArray[np.int64], list[int], list[float]]:
    """With the area, the class that is predicted for most of its pixels, and the score, of each."""
    candidate_HW = np.zeros(prediction.class_HW.shape, dtype=np.int32)
    box = _box(prediction.class_HW > 0)
    class_HW, healthy_HW = prediction.class_HW[box], prediction.healthy_HW[box]
    candidate_HW[box], count = _components(class_HW > 0)
    inside_HW = class_HW > 0
    index_M = candidate_HW[box][inside_HW] - 1
    pixels_CK = np.bincount(index_M * K + class_HW[inside_HW], minlength=count * K)
    pixels_CK = pixels_CK.reshape(count, K)
    healthy_C = np.ones(count, dtype=np.float32)
    np.minimum.at(healthy_C, index_M, healthy_HW[inside_HW])
    scores = [round(score, 6) for score in (1 - healthy_C).tolist()]
    return candidate_HW, pixels_CK.sum(axis=1), pixels_CK.argmax(axis=1).tolist(), scores


def _components(mask_HW: NDArray[np.bool_]) -> tuple[Numbers, int]:
    numbers_HW = np.empty(mask_HW.shape, dtype=np.int32)
    return numbers_HW, ndimage.label(mask_HW, structure=_EIGHT, output=numbers_HW)


def _iou(
    candidate_HW: Numbers,
    lesion_HW: Numbers,
    area_C: NDArray[np.int64],
    area_L: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Intersection over union of each candidate and each lesion, CL; from where lesions are."""
    both_HW = (candidate_HW > 0) & (lesion_HW > 0)
    shape = (len(area_C), len(area_L))
    pair_M = (candidate_HW[both_HW] - 1) * shape[1] + lesion_HW[both_HW] - 1
    both_CL = np.bincount(pair_M, minlength=shape[0] * shape[1]).reshape(shape)
    iou_CL: NDArray[np.float64] = both_CL / (area_C[:, None] + area_L - both_CL)
    return iou_CL
