"""VinDr-Mammo as released: `finding_annotations.csv`, `breast-level_annotations.csv`, `images/`.

Nguyen HT et al. (2023), VinDr-Mammo: A large-scale benchmark dataset for computer-aided diagnosis
in full-field digital mammography, Scientific Data 10:277. Quirks: lesions are boxes, some out of
bounds; a box may have several categories, written as a Python list (a calcification in it makes
the box one); there is no biopsy, so cancer is a BI-RADS category from a cut on, that of the breast
for the label and that of the finding for its box; changes of skin, nipple and nodes are no lesion.
"""

import re
from collections import defaultdict
from collections.abc import Container, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from mtlbench.config import DataConfig
from mtlbench.data.adapters.birads import birads_label
from mtlbench.data.adapters.sheets import read_csv_rows
from mtlbench.data.mammogram import Finding, Index, Lesion, LesionType, Mammogram, Pathology
from mtlbench.data.manifest import ManifestRow
from mtlbench.data.outlines import Box
from mtlbench.data.pixels import ImageHeader, file_tone, read_header, read_image
from mtlbench.errors import DataError

FINDINGS, BREASTS, METADATA = (
    "finding_annotations.csv", "breast-level_annotations.csv", "metadata.csv",
)  # fmt: skip
_IMAGE_COLUMNS = (
    "study_id", "image_id", "laterality", "view_position", "height", "width", "breast_birads",
    "breast_density", "split",
)  # fmt: skip
"""The same in both listings, and in all rows of an image."""
_BOX = ("xmin", "ymin", "xmax", "ymax")
_FINDING_COLUMNS = (*_IMAGE_COLUMNS, "finding_categories", "finding_birads", *_BOX)
_SCANNER = {
    "SOP Instance UID": "image_id", "Manufacturer": "maker", "Manufacturer's Model Name": "model",
}  # fmt: skip
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_SIDES: dict[str, Literal["left", "right"]] = {"l": "left", "r": "right"}
_VIEWS = {"cc": "CC", "mlo": "MLO"}
_SPLITS: dict[str, Literal["train", "test"]] = {"training": "train", "test": "test"}
_DENSITIES = {f"density {letter}": letter.upper() for letter in "abcd"}
_NO_FINDING = "No Finding"
_TYPES: dict[str, LesionType] = {
    "Suspicious Calcification": "calcification", "Mass": "mass",
    "Architectural Distortion": "other", "Asymmetry": "other", "Focal Asymmetry": "other",
    "Global Asymmetry": "other",
}  # fmt: skip
"""The first that a box has decides its type."""
_NO_LESIONS = frozenset(
    {"Skin Thickening", "Skin Retraction", "Nipple Retraction", "Suspicious Lymph Node"}
)
_PATHOLOGIES: dict[int | None, Pathology] = {0: "benign", 1: "malignant", None: "unproven"}
_CATEGORIES = re.compile(r"\[ *'[^'\[\]]+'( *, *'[^'\[\]]+')* *\]")
_NUMBER = re.compile(r"-?[0-9]{1,6}(\.[0-9]{0,20})?")
_NO_MASK = "kept for its label, without a mask"

_SIDE = re.compile(r"[0-9]{1,5}")


def read(root: Path, config: DataConfig) -> Index:
    """Index VinDr-Mammo, whole or in part.

    Raises:
        DataError: finding_annotations.csv is absent, or a listing lacks a column.
    """
    rows = list(read_csv_rows(root, root / FINDINGS, {name: name for name in _FINDING_COLUMNS}))
    breasts = _breasts(root)
    scanners, findings = _scanners(root)
    of_image = _by_image([*rows, *breasts])
    mammograms = [
        _mammogram(root, of, bool(breasts), scanners.get(image_id, ""), config)
        for image_id, of in of_image.items()
    ]
    findings += [finding for row in [*rows, *breasts] for finding in row.findings]
    return Index(mammograms, findings + _unlisted(root, of_image))


def _breasts(root: Path) -> list[ManifestRow]:
    """Rows of the listing of all images, where it is there."""
    path = root / BREASTS
    columns = {name: name for name in _IMAGE_COLUMNS}
    return list(read_csv_rows(root, path, columns)) if path.is_file() else []


def _scanners(root: Path) -> tuple[dict[str, str], list[Finding]]:
    """Scanner by image, from the file of header values; the images' own headers go before it."""
    path, findings = root / METADATA, list[Finding]()
    if not path.is_file():
        return {}, findings
    try:
        rows = list(read_csv_rows(root, path, _SCANNER))
    except DataError as error:
        return {}, [Finding("note", METADATA, None, str(error), "", "not used")]
    faults = [finding for row in rows for finding in row.findings]
    findings += [fault._replace(level="note", action="not used") for fault in faults]
    return {
        row.image_id: f"{row.text('maker')} {row.text('model')}".strip() for row in rows
    }, findings


def _by_image(rows: Sequence[ManifestRow]) -> dict[str, list[ManifestRow]]:
    """Rows by image; one whose ids cannot be names of files is an error."""
    of_image = defaultdict(list)
    for row in rows:
        if all(_ID.fullmatch(row.text(name)) for name in ("image_id", "study_id")):
            of_image[row.image_id].append(row)
        elif row.cells:
            row.error("image_id and study_id must be of letters and digits, but are not")
    return dict(of_image)


def _unlisted(root: Path, listed: Container[str]) -> list[Finding]:
    """Files of images that no row lists."""
    return [
        Finding(
            "note", path.relative_to(root).as_posix(), None, f"has no row in {FINDINGS}", path.stem,
            "left out",
        )
        for path in sorted((root / "images").glob("*/*.dicom"))
        if path.stem not in listed
    ]  # fmt: skip


def _mammogram(
    root: Path, rows: list[ManifestRow], has_breasts: bool, scanner: str, config: DataConfig
) -> Mammogram:
    """Build an image's record of all its rows; what is wrong becomes a finding and stays empty."""
    first, cut = rows[0], config.label_rule.birads_cut
    _check_agreement(rows, has_breasts)
    path = root / "images" / first.text("study_id") / f"{first.image_id}.dicom"
    header = first.attempt(lambda: _checked_header(path, first), ImageHeader(0, 0))
    height, width = header[:2] if header.height else _listed_size(first)
    label = first.attempt(lambda: birads_label(first.text("breast_birads"), cut), None)
    lesions, has_mask = _lesions([row for row in rows if row.file == FINDINGS], cut)
    if label == 0 and any(lesion.pathology == "malignant" for lesion in lesions):
        message = f"a finding has BI-RADS >= {cut}, but the breast has not"
        first.note(message, "labelled by the breast, the finding drawn as malignant")
    return Mammogram(
        image_id=first.image_id,
        patient_id=first.text("study_id"),
        pixels=partial(read_image, path),
        height=height,
        width=width,
        exam_id=first.text("study_id"),
        side=first.word("laterality", _SIDES, ""),
        view=first.word("view_position", _VIEWS, ""),
        label=label,
        label_source="" if label is None else f"BI-RADS >= {cut} (breast)",
        birads=first.text("breast_birads").upper().removeprefix("BI-RADS").strip(),
        density=first.word("breast_density", _DENSITIES, ""),
        scanner=header.scanner or scanner,
        split=first.word("split", _SPLITS, ""),
        spacing_mm=header.spacing_mm,
        has_mask=has_mask,
        lesions=lesions,
        path=path.relative_to(root).as_posix() if header.height else "",
        origin=first.file,
        row=first.line,
        chest_wall=header.chest_wall,
        tone=partial(file_tone, path),
    )


def _check_agreement(rows: list[ManifestRow], has_breasts: bool) -> None:
    """All rows of an image say the same of it, and both listings have it."""
    first, files = rows[0], {row.file for row in rows}
    for row in rows[1:]:
        for name in _IMAGE_COLUMNS:
            if row.text(name) != first.text(name):
                row.error(
                    f"{name} must be {first.text(name)!r} as at {first.file}:{first.line}, "
                    f"but is {row.text(name)!r}"
                )
    if FINDINGS not in files:
        first.note(f"has no row in {FINDINGS}", _NO_MASK)
    elif has_breasts and BREASTS not in files:
        first.note(f"has no row in {BREASTS}")


def _listed_size(row: ManifestRow) -> tuple[int, int]:
    """Give the size that a row states, for images that are absent; else 0 x 0."""
    sides = [row.text(name) for name in ("height", "width")]
    if not all(_SIDE.fullmatch(side) for side in sides):
        return 0, 0
    return int(sides[0]), int(sides[1])


def _checked_header(path: Path, row: ManifestRow) -> ImageHeader:
    header = read_header(path)
    if (str(header.height), str(header.width)) != (row.text("height"), row.text("width")):
        raise DataError(
            f"{path}: must have the size of its row, {row.text('height')} x {row.text('width')}, "
            f"but has {header.height} x {header.width}"
        )
    return header


def _lesions(rows: list[ManifestRow], cut: str) -> tuple[tuple[Lesion, ...], bool]:
    """Give the image's lesions, and whether all are located."""
    lesions, located, undrawn = [], bool(rows), set[str]()
    for row in rows:
        categories = row.attempt(partial(_categories, row), frozenset[str]())
        kind = next((kind for name, kind in _TYPES.items() if name in categories), None)
        box = row.attempt(partial(_box, row), None)
        if _NO_FINDING in categories:
            if len(categories) > 1 or len(rows) > 1 or any(map(row.text, _BOX)):
                row.error(f"{_NO_FINDING} must stand alone and without a box, but does not")
        elif kind is None:
            undrawn |= categories
            located &= bool(categories)
        else:
            label = row.attempt(partial(birads_label, row.text("finding_birads"), cut), None)
            lesions.append(Lesion(kind, _PATHOLOGIES[label], box))
            located &= box is not None
            _note_oddities(row, categories, box)
    if undrawn:
        message = f"findings that are no lesion of a class: {', '.join(sorted(undrawn))}"
        rows[0].note(message, "not drawn")
    return tuple(lesions), located


def _note_oddities(row: ManifestRow, categories: frozenset[str], box: Box | None) -> None:
    if {"Mass", "Suspicious Calcification"} <= categories:
        row.note("a box is of a mass and of calcifications", "drawn as a calcification")
    if box is None and not any(map(row.text, _BOX)):
        row.note("a finding without a box", _NO_MASK)


def _categories(row: ManifestRow) -> frozenset[str]:
    """Read what is written as a Python list of texts."""
    text = row.text("finding_categories")
    if not _CATEGORIES.fullmatch(text):
        raise DataError(f"finding_categories must be a list such as ['Mass'], but got {text!r}")
    found = frozenset(re.findall(r"'([^']+)'", text))
    if unknown := sorted(found - {_NO_FINDING, *_TYPES, *_NO_LESIONS}):
        raise DataError(f"finding_categories must be known ones, but got {unknown[0]!r}")
    return found


def _box(row: ManifestRow) -> Box | None:
    """Read the box; None where all four cells are empty."""
    cells = [row.text(name) for name in _BOX]
    if not any(cells):
        return None
    if not all(map(_NUMBER.fullmatch, cells)):
        raise DataError(f"{', '.join(_BOX)} must be numbers of pixels, but got {', '.join(cells)}")
    x_min, y_min, x_max, y_max = map(float, cells)
    if x_min > x_max or y_min > y_max:
        raise DataError(f"xmin <= xmax and ymin <= ymax must hold, but got {', '.join(cells)}")
    return Box(x_min, y_min, x_max, y_max)
