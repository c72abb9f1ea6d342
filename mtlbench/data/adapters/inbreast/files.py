"""The files of an INbreast release: where they are, and what its two listings say."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtlbench.data.adapters.birads import birads_category
from mtlbench.data.adapters.sheets import read_csv_rows, read_xls_rows
from mtlbench.data.mammogram import Finding, LesionType
from mtlbench.data.manifest import ManifestRow
from mtlbench.errors import DataError

CSV, XLS, DICOMS, REGIONS = "INbreast.csv", "INbreast.xls", "AllDICOMs", "AllXML"
_COLUMNS = {
    "File Name": "image_id", "Laterality": "side", "View": "view", "ACR": "density",
    "Bi-Rads": "birads",
}  # fmt: skip
MARKS: dict[str, LesionType] = {
    "Mass": "mass", "Micros": "calcification", "Distortion": "other", "Asymmetry": "other",
}  # fmt: skip
"""Columns of the .xls that are not empty where the image shows such a lesion."""
NAME = re.compile(r"(?P<id>[0-9]+)_(?P<patient>\w+)_MG_(?P<side>[LR])_(?P<view>[A-Z]+)_ANON\.dcm")


@dataclass(frozen=True, slots=True)
class Release:
    """What a release holds, as far as names and listings tell."""

    root: Path
    base: Path
    """The folder of the listings: `root`, or one below it."""
    rows: Sequence[ManifestRow]
    """One for each image: of the CSV, where it is there."""
    sheet: Mapping[str, ManifestRow]
    """Rows of the .xls by image number."""
    dicoms: Mapping[str, list[Path]]
    """DICOM files by image number."""


def open_release(root: Path) -> tuple[Release, list[Finding]]:
    """Find a release and read its listings; findings of its rows are left with them.

    Raises:
        DataError: neither INbreast.csv nor INbreast.xls is there, or the one that lists the images
            lacks a column.
    """
    base = _base(root)
    rows, sheet, findings = _listing(root, base)
    dicoms, odd = _dicoms(root, base)
    release = Release(root, base, rows, sheet, dicoms)
    return release, findings + odd + _unlisted(release)


def category(row: ManifestRow) -> str:
    """Give the row's BI-RADS category; what is none, as it stands there."""
    try:
        return birads_category(row.text("birads"))
    except DataError:
        return row.text("birads")


def _base(root: Path) -> Path:
    folders = [root, *sorted(path for path in root.glob("*") if path.is_dir())]
    for folder in folders:
        if (folder / CSV).is_file() or (folder / XLS).is_file():
            return folder
    raise DataError(f"{root}: must hold {CSV} or {XLS}, or a folder that does, but does not")


def _listing(
    root: Path, base: Path
) -> tuple[list[ManifestRow], dict[str, ManifestRow], list[Finding]]:
    """Rows of the images (the CSV's where both are there), and those of the .xls by image."""
    has_csv, findings = (base / CSV).is_file(), list[Finding]()
    try:
        sheet = _sheet(root, base / XLS) if (base / XLS).is_file() else []
    except DataError as error:
        if not has_csv:
            raise
        file, sheet = (base / XLS).relative_to(root).as_posix(), []
        findings.append(Finding("error", file, None, str(error)))
    by_image = {row.image_id: row for row in sheet if row.image_id}
    if not has_csv:
        return sheet, by_image, findings
    rows = list(read_csv_rows(root, base / CSV, _COLUMNS, delimiter=";"))
    if sheet:
        findings += _compared(rows, sheet, by_image)
    return rows, by_image, findings


def _sheet(root: Path, path: Path) -> list[ManifestRow]:
    """Rows of the .xls; the last two, a blank and the totals, are of no image."""
    rows = read_xls_rows(root, path, _COLUMNS | {name: name for name in MARKS})
    return [row for row in rows if row.findings or row.text("side") or row.text("view")]


def _compared(
    rows: list[ManifestRow], sheet: list[ManifestRow], by_image: Mapping[str, ManifestRow]
) -> list[Finding]:
    """Note on the CSV's rows what the .xls says otherwise; give what is said of its own rows."""
    for row in rows:
        other = by_image.get(row.image_id)
        if other is None:
            row.note(f"has no row in {XLS}")
        elif category(row) != category(other):
            message = f"BI-RADS {category(row)} here, but {category(other)} in {XLS}"
            row.note(message, "labelled by this row")
    listed = {row.image_id for row in rows}
    for row in sheet:
        if row.image_id not in listed:
            row.note(f"has no row in {CSV}", "left out")
    return [finding for row in sheet for finding in row.findings]


def _dicoms(root: Path, base: Path) -> tuple[dict[str, list[Path]], list[Finding]]:
    """DICOM files by image number, and those of another name."""
    files, findings = defaultdict(list), []
    for path in sorted((base / DICOMS).glob("*")):
        if found := NAME.fullmatch(path.name):
            files[found["id"]].append(path)
        else:
            file, form = (
                path.relative_to(root).as_posix(),
                "<number>_<patient>_MG_<side>_<view>_ANON.dcm",
            )
            findings.append(Finding("note", file, None, f"is not named {form}", "", "left out"))
    return dict(files), findings


def _unlisted(release: Release) -> list[Finding]:
    """Files of images that no row lists."""
    listed = {row.image_id for row in release.rows}
    paths = [path for number in sorted(release.dicoms) for path in release.dicoms[number]]
    paths += sorted((release.base / REGIONS).glob("*.xml"))
    ids = [(path.stem.partition("_")[0], path.relative_to(release.root)) for path in paths]
    return [
        Finding("note", path.as_posix(), None, "has no row in the listing", image_id, "left out")
        for image_id, path in ids
        if image_id not in listed
    ]
