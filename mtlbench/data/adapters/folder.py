"""One's own data: images, masks, and `manifest.csv` with a row per image (see docs/data.md)."""

import re
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Literal

import numpy as np

from mtlbench.config import IGNORED, DataConfig
from mtlbench.data.mammogram import (
    Finding,
    Index,
    Lesion,
    LesionType,
    Mammogram,
    Pathology,
    label_of,
)
from mtlbench.data.manifest import ManifestRow, read_manifest
from mtlbench.data.outlines import MaskFile
from mtlbench.data.pixels import ImageHeader, file_tone, read_header, read_image
from mtlbench.errors import DataError

MANIFEST = "manifest.csv"
REQUIRED = ("image_id", "patient_id", "image")
COLUMNS = (
    *REQUIRED, "mask", "exam_id", "side", "view", "label", "pathology", "type", "density",
    "birads", "spacing_mm", "split", "scanner",
)  # fmt: skip

Size = tuple[int, int]
Pathologies = set[Pathology | Literal["normal"]]
_SIDES: dict[str, Literal["left", "right", ""]] = {
    "l": "left", "left": "left", "r": "right", "right": "right",
}  # fmt: skip
_VIEWS = {
    view.lower(): view
    for view in ("CC", "MLO", "ML", "LM", "LMO", "XCC", "XCCL", "XCCM", "FB", "SIO", "AT", "CV")
}
_SPLITS: dict[str, Literal["train", "val", "test", ""]] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_TYPES: dict[str, LesionType] = {
    "mass": "mass", "calcification": "calcification", "calc": "calcification", "other": "other",
    "architectural distortion": "other", "asymmetry": "other",
}  # fmt: skip
_PATHOLOGIES: dict[str, Pathology | Literal["normal"]] = {
    "benign": "benign", "benign_without_callback": "benign_without_callback",
    "malignant": "malignant", "cancer": "malignant", "unproven": "unproven", "normal": "normal",
}  # fmt: skip
_LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}
_NONE = ImageHeader(0, 0)
_CLASS_LESIONS: dict[int, tuple[LesionType, Pathology | None]] = {
    1: ("mass", "benign"),
    2: ("mass", "malignant"),
    3: ("calcification", "benign"),
    4: ("calcification", "malignant"),
    IGNORED: ("mass", None),  # a mass of unknown pathology is none of the four: ignored
}


def read(root: Path, config: DataConfig) -> Index:
    """Index a folder with a manifest.

    Raises:
        DataError: the manifest is absent, not UTF-8, or lacks a column.
        StudyError: `config.columns` has a key that is none of `COLUMNS`.
    """
    mammograms, findings = [], list[Finding]()
    for row in read_manifest(root / MANIFEST, config.columns, COLUMNS, REQUIRED):
        if row.cells:
            mammograms.append(_mammogram(root, row))
        findings += row.findings
    lesions = [lesion for mammogram in mammograms for lesion in mammogram.lesions]
    if lesions and all(_is_ignored_region(lesion) for lesion in lesions):
        message = "all masks hold 0 and 255 only: map type and pathology to read binary masks"
        findings.append(Finding("error", MANIFEST, None, message))
    return Index(mammograms, findings)


def _mammogram(root: Path, row: ManifestRow) -> Mammogram:
    """Build an image's record; what is wrong becomes a finding and stays empty."""
    for column in REQUIRED:
        if not row.text(column):
            row.error(f"{column} must not be empty")
    cell = row.text("image")
    image = root / cell
    header = row.attempt(lambda: _checked_header(root, image), _NONE) if cell else _NONE
    pathologies = _pathologies(row, "pathology")
    lesions = row.attempt(
        lambda: _lesions(root, row, pathologies, header[:2]), tuple[Lesion, ...]()
    )
    has_mask = bool(row.text("mask")) or pathologies == {"normal"}
    label, label_source = _label(row, pathologies, lesions, has_mask)
    if label == 0 and any(lesion.pathology == "malignant" for lesion in lesions):
        row.error("label is 0, but there is a malignant lesion")
    return Mammogram(
        image_id=row.text("image_id"),
        patient_id=row.text("patient_id"),
        pixels=partial(read_image, image),
        height=header.height,
        width=header.width,
        exam_id=row.text("exam_id"),
        side=row.word("side", _SIDES, ""),
        view=row.word("view", _VIEWS, ""),
        label=label,
        label_source=label_source,
        birads=row.text("birads"),
        density=row.text("density"),
        scanner=row.text("scanner") or header.scanner,
        split=row.word("split", _SPLITS, ""),
        spacing_mm=row.attempt(lambda: _spacing(row), None) or header.spacing_mm,
        has_mask=has_mask,
        lesions=lesions,
        path=cell if header.height else "",
        origin=MANIFEST,
        row=row.line,
        chest_wall=header.chest_wall,
        tone=partial(file_tone, image),
    )


def _checked_header(root: Path, path: Path) -> ImageHeader:
    """Header of an image file, which must lie below `root`, symbolic links followed."""
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, ValueError):  # a name that no file can have
        inside = False
    if not inside:
        raise DataError(f"{path}: must lie below {root}")
    return read_header(path)


def _lesions(
    root: Path, row: ManifestRow, pathologies: Pathologies, image_size: Size
) -> tuple[Lesion, ...]:
    """Give the lesions of an image: of its type and pathology, or of its mask's classes."""
    path = root / row.text("mask") if row.text("mask") else None
    if path and (size := _checked_header(root, path)[:2]) != image_size and all(image_size):
        raise DataError(
            f"{path}: mask and image must have the same size, but the mask is "
            f"{size[0]} x {size[1]} and the image {image_size[0]} x {image_size[1]}"
        )
    if "type" in row.cells:
        return _typed_lesion(row, pathologies, path)
    return _class_lesions(path, pathologies) if path else ()


def _typed_lesion(
    row: ManifestRow, pathologies: Pathologies, path: Path | None
) -> tuple[Lesion, ...]:
    """Read a mask as binary: all pixels above 0 are lesions of one type and pathology."""
    if pathologies == {"normal"}:
        if path and read_image(path).any():
            raise DataError(f"{path}: pathology is normal, but the mask is not empty")
        return ()
    lesion_type = row.word("type", _TYPES, None)
    if lesion_type is None:
        if path and not row.text("type"):
            raise DataError(f"{path}: type must not be empty where there is a mask of a lesion")
        return ()
    outline = MaskFile(path) if path else None
    return (Lesion(lesion_type, _one_pathology(row, pathologies), outline),)


def _class_lesions(path: Path, pathologies: Pathologies) -> tuple[Lesion, ...]:
    """Read a mask's values as classes 0..4, or 255 for pixels to ignore; one lesion a class."""
    values = [int(value) for value in np.unique(read_image(path)) if value]
    if unknown := [value for value in values if value not in _CLASS_LESIONS]:
        raise DataError(
            f"{path}: a mask must hold classes 0 to 4 or 255, but holds {unknown[0]}; for a binary "
            "mask give the columns type and pathology"
        )
    if values and pathologies == {"normal"}:
        raise DataError(f"{path}: pathology is normal, but the mask holds {values}")
    return tuple(Lesion(*_CLASS_LESIONS[value], MaskFile(path, value)) for value in values)


def _is_ignored_region(lesion: Lesion) -> bool:
    return isinstance(lesion.outline, MaskFile) and lesion.outline.value == IGNORED


def _pathologies(row: ManifestRow, column: str) -> Pathologies:
    """Take a cell apart at `+` and `|`: the pathologies of all lesions of the image."""
    words = [word.strip().lower() for word in re.split(r"[+|]", row.text(column)) if word.strip()]
    for word in words:
        if word not in _PATHOLOGIES:
            known = ", ".join(["0", "1", *_PATHOLOGIES] if column == "label" else _PATHOLOGIES)
            row.error(f"{column} must be of {known}, but got {word!r}")
    return {_PATHOLOGIES[word] for word in words if word in _PATHOLOGIES}


def _one_pathology(row: ManifestRow, pathologies: Pathologies) -> Pathology | None:
    """Give the pathology of a merged mask; None where several cannot be told apart."""
    found = _proven(pathologies)
    if found == {"benign", "benign_without_callback"}:
        return "benign"
    if len(found) > 1:
        message = f"{' and '.join(sorted(found))} lesions in one mask"
        row.note(message, "the mask's pixels are ignored")
        return None
    return next(iter(found), None)


def _proven(pathologies: Pathologies) -> set[Pathology]:
    """Give what there is besides normal tissue."""
    return {pathology for pathology in pathologies if pathology != "normal"}


def _label(
    row: ManifestRow, pathologies: Pathologies, lesions: tuple[Lesion, ...], has_mask: bool
) -> tuple[int | None, str]:
    """Give 1 for cancer, 0 for none, None where unknown, and the column that said so."""
    text = row.text("label").lower()
    if text in _LABELS:
        return _LABELS[text], f"{MANIFEST} label"
    if text:
        return label_of(_proven(_pathologies(row, "label"))), f"{MANIFEST} label"
    if pathologies:
        return label_of(_proven(pathologies)), f"{MANIFEST} pathology"
    if has_mask and "type" not in row.cells:
        return label_of(lesion.pathology for lesion in lesions), "mask classes"
    return None, ""


def _spacing(row: ManifestRow) -> float | None:
    text = row.text("spacing_mm")
    if not text:
        return None
    try:
        spacing_mm = float(text)
    except ValueError:
        spacing_mm = 0.0
    if not (isfinite(spacing_mm) and spacing_mm > 0):
        raise DataError(f"spacing_mm must be a number above 0, but got {text!r}")
    return spacing_mm
