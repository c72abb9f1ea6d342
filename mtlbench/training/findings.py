"""Lesions found and missed, and what was found beside them: the rows that a FROC curve needs.

A lesion is a connected component (8 neighbours) of one class in the prepared truth, a candidate
one of the pixels predicted to be any lesion. A candidate hits a lesion where their intersection
over union is at least `HIT_IOU`, whatever its class; its score is the largest probability of any
lesion within it. H, W = image size.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from mtlbench.config import CLASSES
from mtlbench.data.resident import Cases, Cohort
from mtlbench.models.network import JointNet
from mtlbench.training.evaluate import most_likely
from mtlbench.training.tail import upsampled
from mtlbench.training.tasks import Tasks

HIT_IOU = 0.1
LESIONS = ("image_id", "lesion", "class", "area_mm2", "hit", "score")
CANDIDATES = ("image_id", "class", "score", "hit")
_EIGHT = np.ones((3, 3), dtype=int)
Rows = list[dict[str, Any]]
Mask = NDArray[np.bool_]


class Prediction(NamedTuple):
    """Of an image's pixels: the most likely class, and the probability that it is healthy."""

    class_HW: NDArray[np.uint8]
    healthy_HW: NDArray[np.float32]


def find(model: JointNet, cohort: Cohort, case_N: Cases, tasks: Tasks) -> tuple[Rows, Rows]:
    """Rows of lesions.csv and candidates.csv for the cases that have a mask.

    A model that does not segment has no candidates, and its lesions no `hit`.
    """
    lesion_rows: Rows = []
    candidate_rows: Rows = []
    for case, truth_HW, prediction in _predictions(model, cohort, case_N, tasks):
        row = cohort.cases.iloc[case]
        pixel_mm2 = (row["spacing_mm"] / row["scale"]) ** 2
        candidates, lesions = match(truth_HW, prediction)
        for number, lesion in enumerate(lesions, start=1):
            area = lesion.pop("area_px") * pixel_mm2
            area_mm2 = None if np.isnan(area) else round(float(area), 3)
            head = {"image_id": row["image_id"], "lesion": number, "area_mm2": area_mm2}
            lesion_rows.append(head | lesion)
        candidate_rows += [{"image_id": row["image_id"]} | found for found in candidates]
    return lesion_rows, candidate_rows


def match(truth_HW: NDArray[np.uint8], prediction: Prediction | None) -> tuple[Rows, Rows]:
    """Candidates and lesions of one image, matched."""
    lesions: Rows = [
        {"class": k, "mask": mask_HW}
        for k in range(1, len(CLASSES))
        for mask_HW in _components(truth_HW == k)
    ]
    if prediction is None:
        return [], [_lesion_row(lesion, None) for lesion in lesions]
    candidates = [
        _candidate(mask_HW, prediction) for mask_HW in _components(prediction.class_HW > 0)
    ]
    hits = np.array(
        [[_iou(c["mask"], lesion["mask"]) >= HIT_IOU for lesion in lesions] for c in candidates],
        dtype=np.bool_,
    ).reshape(len(candidates), len(lesions))
    found = [
        {"class": c["class"], "score": c["score"], "hit": int(row.any())}
        for c, row in zip(candidates, hits, strict=True)
    ]
    scores = [c["score"] for c in candidates]
    return found, [
        _lesion_row(lesion, [s for s, hit in zip(scores, column, strict=True) if hit])
        for lesion, column in zip(lesions, hits.T, strict=True)
    ]


def _lesion_row(lesion: dict[str, Any], scores: list[float] | None) -> dict[str, Any]:
    """`scores` of the candidates that hit it; None where nothing was predicted."""
    return {
        "class": lesion["class"],
        "area_px": int(lesion["mask"].sum()),
        "hit": None if scores is None else int(bool(scores)),
        "score": max(scores) if scores else None,
    }


def _candidate(mask_HW: Mask, prediction: Prediction) -> dict[str, Any]:
    """The class is the one predicted for most of its pixels."""
    score = 1 - prediction.healthy_HW[mask_HW].min()
    return {
        "mask": mask_HW,
        "class": int(np.bincount(prediction.class_HW[mask_HW]).argmax()),
        "score": round(float(score), 6),
    }


def _components(mask_HW: Mask) -> Iterator[Mask]:
    labels_HW, count = ndimage.label(mask_HW, structure=_EIGHT)
    yield from (labels_HW == number for number in range(1, count + 1))


def _iou(one_HW: Mask, other_HW: Mask) -> float:
    return float((one_HW & other_HW).sum() / (one_HW | other_HW).sum())


@torch.inference_mode()
def _predictions(
    model: JointNet, cohort: Cohort, case_N: Cases, tasks: Tasks
) -> Iterator[tuple[int, NDArray[np.uint8], Prediction | None]]:
    """Truth and prediction on the input's grid, one case with a mask at a time."""
    model.eval()
    masked_N = cohort.cases["has_mask"].to_numpy(dtype=bool)[case_N]
    for batch in cohort.eval_batches(case_N[masked_N], batch_size=1):
        _, seg_BKhw = tasks.forward(model, batch)
        truth_HW = batch.mask_BHW[0].cpu().numpy()
        prediction = None if seg_BKhw is None else _prediction(seg_BKhw, *truth_HW.shape)
        yield int(batch.case_B[0]), truth_HW, prediction


def _prediction(seg_BKhw: Tensor, height: int, width: int) -> Prediction:
    """Of a batch of one."""
    bands = [
        (most_likely(logit_BKRW), logit_BKRW.softmax(dim=1)[:, 0])
        for _, logit_BKRW in upsampled(seg_BKhw, (height, width))
    ]
    class_HW, healthy_HW = (
        torch.cat(parts, dim=1)[0].cpu().numpy() for parts in zip(*bands, strict=True)
    )
    return Prediction(class_HW, healthy_HW)
