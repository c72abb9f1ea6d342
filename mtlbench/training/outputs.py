"""What a trained run leaves for the analysis: predictions, findings, weights and a few panels.

N = cases, P = panels, K = classes, H W = image size.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from mtlbench.config import CLASSES
from mtlbench.data.resident import Cohort
from mtlbench.models.network import JointNet
from mtlbench.records import RunFolder, atomic_path, write_csv
from mtlbench.training.evaluate import Evaluation, evaluate, predict_classes
from mtlbench.training.findings import CANDIDATES, LESIONS, find
from mtlbench.training.tasks import Tasks

COUNTS = tuple(f"{kind}_{k}" for kind in ("true", "pred", "both") for k in range(len(CLASSES)))
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
    results = {
        split: evaluate(model, cohort, cohort.split[split], tasks, batch_size) for split in splits
    }
    rows = [
        row for split, result in results.items() for row in prediction_rows(cohort, split, result)
    ]
    write_csv(folder.path / "predictions.csv", PREDICTIONS, rows)
    shown_N = np.concatenate([result.case_N for result in results.values()])
    lesion_rows, candidate_rows = find(model, cohort, shown_N, tasks)
    write_csv(folder.path / "lesions.csv", LESIONS, lesion_rows)
    write_csv(folder.path / "candidates.csv", CANDIDATES, candidate_rows)
    save_weights(folder.path / "model.safetensors", model.state_dict())
    files = ("predictions.csv", "lesions.csv", "candidates.csv", "model.safetensors")
    if "test" not in splits:
        return results["val"], files
    with atomic_path(folder.path / "panels.npz") as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **panels(model, cohort, tasks))
    return results["val"], (*files, "panels.npz")


def save_weights(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write a state dict as safetensors, atomically."""
    with atomic_path(path) as temporary:
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, temporary)


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


def panel_cases(cohort: Cohort) -> NDArray[np.int64]:
    """The test cases that are shown: a normal one and one with cancer.

    Chosen by the truth alone: of the cases with a malignant lesion, the one of median lesion area;
    of those without any lesion, the middle one by name.
    """
    test = cohort.split["test"]
    lesion_area = np.array([cohort.lesion_pixels(int(case)) for case in test])
    label = cohort.cases["label"].to_numpy(dtype=float, na_value=np.nan)[test]
    masked = cohort.cases["has_mask"].to_numpy(dtype=bool)[test]
    names = cohort.cases["image_id"].astype(str).to_numpy()[test]
    normal = np.flatnonzero((lesion_area == 0) & masked & (label != 1))
    cancer = np.flatnonzero((label == 1) & (lesion_area > 0))
    picks = []
    for group, key in ((normal, names), (cancer, lesion_area)):
        ordered = group[np.lexsort((names[group], key[group]))]
        picks += [test[ordered[len(ordered) // 2]]] if len(ordered) else []
    return np.array(picks, dtype=np.int64)


@torch.inference_mode()
def panels(model: JointNet, cohort: Cohort, tasks: Tasks) -> dict[str, NDArray[Any]]:
    """Arrays of panels.npz: image, truth, and where the model has them prediction and score."""
    case_P = panel_cases(cohort)
    if not len(case_P):
        nothing_PHW = np.zeros((0, 0, 0), dtype=np.uint8)
        nobody = {"image_id": np.array([], dtype=str), "label": np.zeros(0), "score": np.zeros(0)}
        return nobody | {"images": nothing_PHW, "truth": nothing_PHW}
    result = evaluate(model, cohort, case_P, tasks, batch_size=1)
    images, truths, predictions = [], [], []
    for batch in cohort.eval_batches(case_P, batch_size=1):
        image_HW = batch.image_B1HW[0, 0].float().cpu().numpy() * cohort.sd + cohort.mean
        images.append(np.clip(np.rint(image_HW * 255), 0, 255).astype(np.uint8))
        truths.append(batch.mask_BHW[0].cpu().numpy())
        _, seg_BKhw = tasks.forward(model, batch)
        if seg_BKhw is not None:
            height, width = batch.mask_BHW.shape[-2:]
            predictions.append(predict_classes(seg_BKhw, height, width)[0].cpu().numpy())
    arrays: dict[str, NDArray[Any]] = {
        "image_id": cohort.cases["image_id"].astype(str).to_numpy(dtype=str)[case_P],
        "label": result.label_N,
        "score": result.score_N,
        "images": np.array(images, dtype=np.uint8),
        "truth": np.array(truths, dtype=np.uint8),
    }
    return arrays | ({"pred": np.array(predictions, dtype=np.uint8)} if predictions else {})
