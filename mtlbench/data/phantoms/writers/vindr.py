"""Phantoms as VinDr-Mammo is released: `images/<study>/<image>.dicom` and CSVs of annotations.

The quirks of the original are in: boxes for lesions, one out of bounds; several categories in a
Python list; findings that are no lesion; rows without a box; several transfer syntaxes and both
photometric interpretations; an official split.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from mtlbench.config import DataConfig
from mtlbench.data.adapters.phantom import read
from mtlbench.data.mammogram import Lesion, Mammogram
from mtlbench.data.phantoms.writers.dicom_file import Photometric, write_dicom
from mtlbench.records import write_csv

BITS = 12
"""Of 16; a grey level of 8 bits is written times 16."""
IMAGE_COLUMNS = (
    "study_id", "series_id", "image_id", "laterality", "view_position", "height", "width",
    "breast_birads", "breast_density", "split",
)  # fmt: skip
BOX = ("xmin", "ymin", "xmax", "ymax")
COLUMNS = (*IMAGE_COLUMNS, "finding_categories", "finding_birads", *BOX)
METADATA_COLUMNS = ("SOP Instance UID", "Manufacturer", "Manufacturer's Model Name")
_SYNTAXES = (JPEGLosslessSV1, JPEG2000Lossless, ExplicitVRLittleEndian, RLELossless)
_BIRADS = {"normal": (1, 2), "benign": (3,), "malignant": (4, 5)}
_CATEGORIES = {
    "mass": ("['Mass']", "['Mass', 'Skin Retraction']"),
    "calcification": ("['Suspicious Calcification']", "['Mass', 'Suspicious Calcification']"),
}
Row = dict[str, str]


def write(folder: Path, config: DataConfig) -> None:
    """Write `images/`, then `metadata.csv`, `breast-level_` and `finding_annotations.csv`."""
    breasts, findings, metadata = list[Row](), list[Row](), list[Row]()
    for count, drawn in enumerate(read(folder, config).mammograms):
        row = _image_row(count, drawn)
        path = folder / "images" / row["study_id"] / f"{row['image_id']}.dicom"
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_image(path, count, drawn)
        breasts.append(row)
        findings += _finding_rows(row, drawn, is_first=not any("xmin" in one for one in findings))
        names = (row["image_id"], "Phantom", drawn.scanner)
        metadata.append(dict(zip(METADATA_COLUMNS, names, strict=True)))
    write_csv(folder / "metadata.csv", METADATA_COLUMNS, metadata)
    write_csv(folder / "breast-level_annotations.csv", IMAGE_COLUMNS, breasts)
    write_csv(folder / "finding_annotations.csv", COLUMNS, findings)


def _hex_name(name: str) -> str:
    """Give 32 hex digits, as the original's ids have, for a phantom's id."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _write_image(path: Path, count: int, drawn: Mammogram) -> None:
    """Every second patient is MONOCHROME1; the four views of each come in four syntaxes."""
    pixels_HW = drawn.pixels() * np.uint16(1 << (BITS - 8))
    photometric: Photometric = "MONOCHROME1" if count // 4 % 2 else "MONOCHROME2"
    if photometric == "MONOCHROME1":
        pixels_HW = np.uint16((1 << BITS) - 1) - pixels_HW
    if drawn.side == "right":
        pixels_HW = pixels_HW[:, ::-1]
    syntax = _SYNTAXES[count % 4]
    write_dicom(
        path, np.ascontiguousarray(pixels_HW), drawn, bits=BITS, syntax=syntax,
        photometric=photometric,
    )  # fmt: skip


def _image_row(count: int, drawn: Mammogram) -> Row:
    health = {0: "benign", 1: "malignant"}[drawn.label or 0] if drawn.lesions else "normal"
    assessments = _BIRADS[health]
    return {
        "study_id": _hex_name(drawn.exam_id),
        "series_id": _hex_name(f"{drawn.exam_id} series"),
        "image_id": _hex_name(drawn.image_id),
        "laterality": drawn.side[0].upper(),
        "view_position": drawn.view,
        "height": str(drawn.height),
        "width": str(drawn.width),
        # One for both views of a breast.
        "breast_birads": f"BI-RADS {assessments[count // 2 % len(assessments)]}",
        "breast_density": f"DENSITY {'ABCD'[int(drawn.density) - 1]}",
        "split": "test" if count // 4 % 5 == 4 else "training",
    }


def _finding_rows(row: Row, drawn: Mammogram, *, is_first: bool) -> list[Row]:
    """Give a row a lesion, or one that says there is none; the first image has more."""
    if not drawn.lesions:
        return [row | {"finding_categories": "['No Finding']"}]
    rows = [row | _finding(number, lesion, drawn) for number, lesion in enumerate(drawn.lesions)]
    if is_first:
        out_of_bounds = (-4.5, 0.4 * drawn.height, 3.0, 0.6 * drawn.height)
        rows += [
            row | _cells("['Focal Asymmetry']", "BI-RADS 3", out_of_bounds, drawn),
            row | _cells("['Skin Thickening']", "", (0.0, 0.0, 9.0, 9.0), drawn),
        ]
    return rows


def _finding(number: int, lesion: Lesion, drawn: Mammogram) -> Row:
    assert lesion.outline is not None
    bounds = lesion.outline.bounds()
    assert bounds is not None
    birads = "BI-RADS 4" if lesion.pathology == "malignant" else "BI-RADS 3"
    category = _CATEGORIES[lesion.type][(number + (drawn.view == "MLO")) % 2]
    return _cells(category, birads, bounds, drawn)


def _cells(categories: str, birads: str, bounds: Sequence[float], drawn: Mammogram) -> Row:
    """Write a box, given with the chest wall at the left, for the image as stored."""
    x_min, y_min, x_max, y_max = bounds
    if drawn.side == "right":
        x_min, x_max = drawn.width - 1 - x_max, drawn.width - 1 - x_min
    box = (f"{value:.6f}" for value in (x_min, y_min, x_max, y_max))
    return {
        "finding_categories": categories,
        "finding_birads": birads,
        **dict(zip(BOX, box, strict=True)),
    }
