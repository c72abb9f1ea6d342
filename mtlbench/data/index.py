"""`cases.csv` and `lesions.csv`: an adapter's images and lesions as rows.

H, W = height and width in pixels.
"""

from collections.abc import Sequence
from math import ceil
from pathlib import Path

import numpy as np

from mtlbench.data.mammogram import Index, Lesion, Mammogram
from mtlbench.data.outlines import Region
from mtlbench.data.pixels import MAX_PIXELS
from mtlbench.errors import DataError
from mtlbench.records import write_csv

CASE_COLUMNS = (
    "image_id", "patient_id", "exam_id", "side", "view", "label", "label_source", "birads",
    "density", "scanner", "split", "height", "width", "spacing_mm", "has_mask", "n_lesions", "path",
)  # fmt: skip
LESION_COLUMNS = (
    "image_id", "lesion", "type", "pathology", "class", "outline",
    "x_min", "x_max", "y_min", "y_max", "area_px", "area_mm2",
)  # fmt: skip

Row = dict[str, object]
Regions = Sequence[Region | None]
"""Per lesion its pixels; None where it is not located or cannot be read."""


def fully_located(mammogram: Mammogram, regions: Regions) -> bool:
    """Tell whether the pixels of every known lesion are known, so that the rest is healthy."""
    return mammogram.has_mask and all(r is not None and r.mask_hw.any() for r in regions)


def case_row(mammogram: Mammogram, regions: Regions) -> Row:
    """One row of `cases.csv`."""
    row: Row = {name: getattr(mammogram, name, None) for name in CASE_COLUMNS}
    row["has_mask"] = int(fully_located(mammogram, regions))
    row["n_lesions"] = len(mammogram.lesions)
    return row


def lesion_rows(mammogram: Mammogram, regions: Regions) -> list[Row]:
    """Rows of `lesions.csv`; lesions are counted from 1, and boxes clipped to the image."""
    return [
        {
            "image_id": mammogram.image_id,
            "lesion": number,
            "type": lesion.type,
            "pathology": lesion.pathology,
            "class": lesion.mask_class,
            "outline": lesion.outline.kind if lesion.outline else None,
            **(_extent(region, mammogram.spacing_mm) if region is not None else {}),
        }
        for number, (lesion, region) in enumerate(
            zip(mammogram.lesions, regions, strict=True), start=1
        )
    ]


def write_index(index: Index, out: Path) -> None:
    """Write `out/cases.csv` and `out/lesions.csv`, each atomically.

    Needs the annotations only: a lesion of an image that is absent has the box of its outline.
    """
    cases: list[Row] = []
    lesions: list[Row] = []
    for mammogram in index.mammograms:
        regions = [_region_or_none(mammogram, lesion) for lesion in mammogram.lesions]
        cases.append(case_row(mammogram, regions))
        if not mammogram.height:
            cases[-1]["has_mask"] = int(mammogram.has_mask)
        lesions += lesion_rows(mammogram, regions)
    write_csv(out / "cases.csv", CASE_COLUMNS, cases)
    write_csv(out / "lesions.csv", LESION_COLUMNS, lesions)


def _region_or_none(mammogram: Mammogram, lesion: Lesion) -> Region | None:
    """Rasterise a lesion; where the image's size is not known, on one that just holds it."""
    if lesion.outline is None:
        return None
    size = mammogram.height, mammogram.width
    if not mammogram.height:
        _, _, x_max, y_max = lesion.outline.bounds() or (0, 0, 0, 0)
        size = ceil(y_max) + 1, ceil(x_max) + 1
    if not 0 < size[0] * size[1] <= MAX_PIXELS:
        return None
    try:
        return lesion.outline.rasterise(*size)
    except DataError:  # the index shows what is known; data check says what is wrong
        return None


def _extent(region: Region, spacing_mm: float | None) -> Row:
    area_px = region.area
    if not area_px:
        return {"area_px": 0, "area_mm2": None if spacing_mm is None else 0.0}
    rows, columns = (np.flatnonzero(region.mask_hw.any(axis=axis)) for axis in (1, 0))
    return {
        "x_min": region.left + int(columns[0]),
        "x_max": region.left + int(columns[-1]),
        "y_min": region.top + int(rows[0]),
        "y_max": region.top + int(rows[-1]),
        "area_px": area_px,
        "area_mm2": None if spacing_mm is None else round(area_px * spacing_mm**2, 6),
    }
