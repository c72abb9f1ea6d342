"""Phantoms as the adapter `folder` reads them: PNGs and a manifest."""

from pathlib import Path

import numpy as np
from PIL import Image

from mtlbench.config import DataConfig
from mtlbench.data.adapters.phantom import read
from mtlbench.data.convert import paint
from mtlbench.data.mammogram import Mammogram
from mtlbench.data.resize import place
from mtlbench.records import write_csv


def write(folder: Path, config: DataConfig) -> None:
    """Write `images/`, class-valued `masks/` (0..4), both PNG, and `manifest.csv`."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "masks").mkdir(exist_ok=True)
    rows = []
    for mammogram in read(folder, config).mammograms:
        row = _manifest_row(mammogram)
        Image.fromarray(mammogram.pixels()).save(folder / row["image"])
        Image.fromarray(_class_mask(mammogram)).save(folder / row["mask"])
        rows.append(row)
    write_csv(folder / "manifest.csv", list(rows[0]), rows)


def _manifest_row(mammogram: Mammogram) -> dict[str, str]:
    return {
        "image_id": mammogram.image_id,
        "patient_id": mammogram.patient_id,
        "exam_id": mammogram.exam_id,
        "side": mammogram.side,
        "view": mammogram.view,
        "image": f"images/{mammogram.image_id}.png",
        "mask": f"masks/{mammogram.image_id}.png",
        "label": str(mammogram.label),
        "density": mammogram.density,
        "birads": mammogram.birads,
        "spacing_mm": str(mammogram.spacing_mm),
        "split": mammogram.split,
        "scanner": mammogram.scanner,
    }


def _class_mask(mammogram: Mammogram) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    size = (mammogram.height, mammogram.width)
    outlines = [lesion.outline for lesion in mammogram.lesions]
    regions = [None if outline is None else outline.rasterise(*size) for outline in outlines]
    return paint(mammogram.lesions, regions, place(size, size), "ignore")
