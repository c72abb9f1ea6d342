"""INbreast as released: `INbreast.csv` or `.xls`, `AllDICOMs/`, and `AllXML/` with regions.

Moreira IC et al. (2012), INbreast: Toward a Full-field Digital Mammographic Database, Academic
Radiology 19:236-248. Quirks: there is no biopsy, so cancer is a BI-RADS category from a cut on;
normal images have no XML; file names say ML for MLO; the .xls ends in a blank and a totals row;
regions are spelled in several ways, and some are a single point or two.
"""

import re
from functools import partial
from math import hypot
from pathlib import Path

from mtlbench.config import DataConfig
from mtlbench.data.adapters.birads import birads_label
from mtlbench.data.adapters.inbreast.files import (
    DICOMS,
    MARKS,
    NAME,
    REGIONS,
    XLS,
    Release,
    category,
    open_release,
)
from mtlbench.data.adapters.inbreast.osirix import Roi, RoiError, read_rois
from mtlbench.data.mammogram import Finding, Index, Lesion, LesionType, Mammogram, Pathology, Side
from mtlbench.data.manifest import ManifestRow
from mtlbench.data.outlines import Outline, Point, Polygon
from mtlbench.data.pixels import ImageHeader, file_tone, read_header, read_image

_SIDES: dict[str, Side] = {"l": "left", "r": "right"}
_VIEWS = {"cc": "CC", "mlo": "MLO", "ml": "ML", "fb": "FB"}
_TYPES: dict[str, LesionType] = {
    "mass": "mass", "spiculated region": "mass", "espiculated region": "mass",
    "calcification": "calcification", "calcifications": "calcification",
    "cluster": "calcification", "distortion": "other", "asymmetry": "other", "assymetry": "other",
}  # fmt: skip
_PATHOLOGIES: dict[int | None, Pathology] = {0: "benign", 1: "malignant", None: "unproven"}
_NO_MASK = "kept for its label, without a mask"


def read(root: Path, config: DataConfig) -> Index:
    """Index INbreast, whole or in part, from its folder or the one above.

    Raises:
        DataError: neither INbreast.csv nor INbreast.xls is there, or the one that lists the images
            lacks a column.
    """
    release, findings = open_release(root)
    cut, mammograms = config.label_rule.birads_cut, []
    for row in release.rows:
        if _is_named(row):
            mammograms.append(_mammogram(release, row, cut, findings))
        findings += row.findings
    return Index(mammograms, findings)


def _is_named(row: ManifestRow) -> bool:
    """Tell whether the row says which image it speaks of; if not that is an error."""
    named = re.fullmatch(r"[0-9]{1,20}", row.image_id) is not None
    if row.cells and not named:
        row.error("File Name must be the image's number, but is not")
    return named


def _mammogram(release: Release, row: ManifestRow, cut: str, findings: list[Finding]) -> Mammogram:
    """Build an image's record; what is wrong becomes a finding and stays empty."""
    paths = release.dicoms.get(row.image_id, [])
    path = paths[0] if paths else release.base / DICOMS / f"{row.image_id}_*_ANON.dcm"
    header = row.attempt(lambda: read_header(path), ImageHeader(0, 0))
    if len(paths) > 1:
        row.error(f"must have one DICOM file, but has {len(paths)}")
    side: Side = row.word("side", _SIDES, "")
    view = row.word("view", _VIEWS, "")
    patient = _patient(row, path.name, side, view)
    label = row.attempt(lambda: birads_label(row.text("birads"), cut), None)
    lesions, has_mask = _lesions(release, row, _PATHOLOGIES[label], findings)
    return Mammogram(
        image_id=row.image_id,
        patient_id=patient,
        pixels=partial(read_image, path),
        height=header.height,
        width=header.width,
        exam_id=patient,
        side=side,
        view=view,
        label=label,
        label_source="" if label is None else f"BI-RADS >= {cut}",
        birads=category(row),
        density=row.text("density"),
        scanner=header.scanner,
        spacing_mm=header.spacing_mm,
        has_mask=has_mask,
        lesions=lesions,
        path=path.relative_to(release.root).as_posix() if header.height else "",
        origin=row.file,
        row=row.line,
        chest_wall=header.chest_wall,
        tone=partial(file_tone, path),
    )


def _patient(row: ManifestRow, file_name: str, side: Side, view: str) -> str:
    """Take the patient from the file's name; without a file the image stands for itself."""
    named = NAME.fullmatch(file_name)
    if named is None:
        return row.image_id
    # Names say ML for MLO.
    if _SIDES[named["side"].lower()] != side or named["view"] not in (view, view[:2]):
        row.note(f"the file's name says {named['side']} {named['view']}", "kept as the row says")
    return named["patient"]


def _lesions(
    release: Release, row: ManifestRow, pathology: Pathology, findings: list[Finding]
) -> tuple[tuple[Lesion, ...], bool]:
    """Give the image's lesions, and whether all are located."""
    path = release.base / REGIONS / f"{row.image_id}.xml"
    if not path.exists():
        return _unlocated(release, row, pathology)
    file = path.relative_to(release.root).as_posix()
    try:
        rois = read_rois(path)
    except RoiError as error:
        findings.append(Finding("error", file, error.line, str(error), row.image_id))
        return (), False
    if not rois:
        return _unlocated(release, row, pathology)
    if category(row) == "1":
        row.note(f"BI-RADS 1, but {file} holds regions")
    if unknown := sum(roi.name.lower() not in _TYPES for roi in rois):
        message = f"{unknown} regions have names that do not tell their kind"
        findings.append(Finding("note", file, None, message, row.image_id, "taken as other"))
    if not all(roi.points for roi in rois):
        message = "a region has no points"
        findings.append(Finding("note", file, None, message, row.image_id, _NO_MASK))
    lesions = tuple(_lesion(roi, pathology) for roi in rois)
    return lesions, all(lesion.outline for lesion in lesions)


def _unlocated(
    release: Release, row: ManifestRow, pathology: Pathology
) -> tuple[tuple[Lesion, ...], bool]:
    """Judge an image without regions: healthy where the .xls has no mark, or BI-RADS is 1."""
    sheet = release.sheet.get(row.image_id)
    if sheet is None:
        if category(row) != "1":
            row.note(f"not BI-RADS 1, but without regions in {REGIONS}", _NO_MASK)
        return (), category(row) == "1"
    marked = [name for name in MARKS if sheet.text(name)]
    if marked:
        message = f"{XLS} says {', '.join(marked)}, but there are no regions in {REGIONS}"
        row.note(message, _NO_MASK)
    elif category(row) != "1":
        row.note(
            f"not BI-RADS 1, but without regions and without a mark in {XLS}", "kept as healthy"
        )
    return tuple(Lesion(MARKS[name], pathology, None) for name in marked), not marked


def _lesion(roi: Roi, pathology: Pathology) -> Lesion:
    return Lesion(_TYPES.get(roi.name.lower(), "other"), pathology, _outline(roi.points))


def _outline(points: tuple[tuple[float, float], ...]) -> Outline | None:
    """Give a polygon, a spot, a line of two points; None without any."""
    if not points:
        return None
    if len(points) == 2:
        return _line(*points)
    return Polygon(points) if len(points) > 2 else Point(*points[0])


def _line(start: tuple[float, float], end: tuple[float, float]) -> Outline:
    """Give a line one pixel wide, which ends half a pixel beyond its points."""
    (x0, y0), (x1, y1) = start, end
    length = hypot(x1 - x0, y1 - y0)
    if length == 0:
        return Point(x0, y0)
    dx, dy = (x1 - x0) / length / 2, (y1 - y0) / length / 2
    return Polygon(
        (
            (x0 - dx - dy, y0 - dy + dx),
            (x0 - dx + dy, y0 - dy - dx),
            (x1 + dx + dy, y1 + dy - dx),
            (x1 + dx - dy, y1 + dy + dx),
        )
    )
