"""What a trained run leaves for the analysis: predictions, findings, weights and a few panels.

N = cases, P = panels, K = classes, H W = image size.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mtlbench.config import CLASSES
from mtlbench.data.resident import Batch, Cases, Cohort
from mtlbench.models.network import JointNet
from mtlbench.records import MODEL, RunFolder, atomic_path, write_csv
from mtlbench.training.checkpoint import write_tensors
from mtlbench.training.evaluate import Evaluation, Segmentation, evaluate
from mtlbench.training.findings import CANDIDATES, LESIONS, Rows, find
from mtlbench.training.tasks import Tasks

COUNTS = tuple(f"{kind}_{k}" for kind in ("true", "pred", "both") for k in range(len(CLASSES)))
SHOWN_LESIONS = 24
"""Cases with a lesion in panels.npz, from which the report shows the worst, median and best."""
PANEL_SIDE = 512
"""Pixels of a panel's long side: at most 5 MB for a run, and finer than a column of a page."""
PREDICTIONS = ("image_id", "patient_id", "split", "label", "score", *COUNTS)


def write_outputs(
    folder: RunFolder,
    model: JointNet,
    cohort: Cohort,
    tasks: Tasks,
    batch_size: int,
    splits: tuple[str, ...],
) -> tuple[Evaluation, tuple[str, ...]]:
    """Write what the model says of the cases of `splits`; `val` must be among them.

    Panels are of test cases: without that split there are none. Returns the validation result and
    the names of the files.
    """
    case_P = panel_cases(cohort) if "test" in splits else cohort.split["test"][:0]
    details = Details(cohort, case_P)
    results = {
        split: evaluate(model, cohort, cohort.split[split], tasks, batch_size, details.see)
        for split in splits
    }
    rows = [
        row for split, result in results.items() for row in prediction_rows(cohort, split, result)
    ]
    write_csv(folder.path / "predictions.csv", PREDICTIONS, rows)
    write_csv(folder.path / "lesions.csv", LESIONS, details.lesions)
    write_csv(folder.path / "candidates.csv", CANDIDATES, details.candidates)
    write_tensors(folder.path / MODEL, model.state_dict())
    files = ("predictions.csv", "lesions.csv", "candidates.csv", MODEL)
    if "test" not in splits:
        return results["val"], files
    with atomic_path(folder.path / "panels.npz") as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **details.panels(results["test"]))
    return results["val"], (*files, "panels.npz")


def prediction_rows(cohort: Cohort, split: str, result: Evaluation) -> list[dict[str, Any]]:
    """A row per case of an evaluation; None where there is no annotation or no head."""
    cases = cohort.cases.iloc[result.case_N]
    counts_NC = None if result.counts is None else np.concatenate(result.counts, axis=1)
    rows = []
    for i, (image_id, patient_id) in enumerate(
        zip(cases["image_id"], cases["patient_id"], strict=True)
    ):
        label, score = result.label_N[i], result.score_N[i]
        row: dict[str, Any] = {
            "image_id": image_id,
            "patient_id": patient_id,
            "split": split,
            "label": None if np.isnan(label) else int(label),
            "score": None if np.isnan(score) else float(score),
        }
        known = counts_NC is not None and result.has_mask_N[i]
        values = counts_NC[i].tolist() if counts_NC is not None and known else [None] * len(COUNTS)
        rows.append(row | dict(zip(COUNTS, values, strict=True)))
    return rows


class Details:
    """What is kept of single cases as they are evaluated: findings, and panels of `case_P`."""

    def __init__(self, cohort: Cohort, case_P: Cases) -> None:
        """Nothing has been seen yet."""
        self._cohort, self._case_P = cohort, case_P
        self.lesions: Rows = []
        self.candidates: Rows = []
        self._planes: dict[str, dict[int, NDArray[np.uint8]]] = {"images": {}, "truth": {}}

    def see(self, batch: Batch, segmentation: Segmentation | None) -> None:
        """Keep what is wanted of a batch, which `evaluate` shows."""
        lesions, candidates = find(self._cohort.cases, batch, segmentation)
        self.lesions += lesions
        self.candidates += candidates
        for i in np.flatnonzero(np.isin(batch.case_B, self._case_P)).tolist():
            case, one = int(batch.case_B[i]), slice(i, i + 1)
            grey_11HW = (batch.image_B1HW[one] * self._cohort.sd + self._cohort.mean) * 255
            self._planes["images"][case] = _panel(grey_11HW, "area")
            self._planes["truth"][case] = _panel(batch.mask_BHW[one, None], "nearest-exact")
            if segmentation is not None:
                class_11HW = segmentation.class_BHW[one, None]
                pred_HW = _panel(class_11HW, "nearest-exact")
                self._planes.setdefault("pred", {})[case] = pred_HW

    def panels(self, result: Evaluation) -> dict[str, NDArray[Any]]:
        """Arrays of panels.npz: image, truth, and where the model has them prediction and score.

        They are pictures, not data: no side is longer than `PANEL_SIDE`, images by area averages,
        masks by the nearest pixel. Metrics come from predictions.csv. `result` is that of the test
        cases.
        """
        names = self._cohort.cases["image_id"].astype(str).to_numpy(dtype=str)
        place_P = np.searchsorted(result.case_N, self._case_P)
        return {
            "image_id": names[self._case_P],
            "label": result.label_N[place_P],
            "score": result.score_N[place_P],
        } | {
            name: np.array([plane_of[case] for case in self._case_P], dtype=np.uint8)
            for name, plane_of in self._planes.items()
        }


def panel_cases(cohort: Cohort) -> Cases:
    """The test cases that are shown: a normal one, then up to `SHOWN_LESIONS` with a lesion.

    Chosen by the truth alone, so that every run of a study shows the same: of the cases with a
    lesion those evenly spaced in the order of lesion area (ties by name), the smallest and the
    largest among them; of those without any lesion or cancer the middle one by name.
    """
    test = cohort.split["test"]
    lesion_area = np.array([cohort.lesion_pixels(int(case)) for case in test])
    label = cohort.cases["label"].to_numpy(dtype=float, na_value=np.nan)[test]
    masked = cohort.cases["has_mask"].to_numpy(dtype=bool)[test]
    names = cohort.cases["image_id"].astype(str).to_numpy()[test]
    by_area = np.lexsort((names, lesion_area))
    lesions = test[by_area[lesion_area[by_area] > 0]]
    normals = test[by_area[((lesion_area == 0) & masked & (label != 1))[by_area]]]
    even = np.linspace(0, len(lesions) - 1, min(len(lesions), SHOWN_LESIONS)).astype(int)
    middle = len(normals) // 2
    return np.concatenate([normals[middle : middle + 1], lesions[even]])


def _panel(plane_11HW: Tensor, mode: str) -> NDArray[np.uint8]:
    """An image or mask as uint8 of at most `PANEL_SIDE` on its long side."""
    height, width = plane_11HW.shape[-2:]
    shrink = min(1.0, PANEL_SIDE / max(height, width))
    size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    small_11HW = F.interpolate(plane_11HW.float(), size, mode=mode)
    return small_11HW[0, 0].round().clamp(0, 255).to(torch.uint8).cpu().numpy()
