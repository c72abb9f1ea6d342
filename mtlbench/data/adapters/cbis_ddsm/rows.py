"""The case descriptions of CBIS-DDSM: four CSVs with a row per abnormality.

Quirks of the originals: the last but one or the last path field ends in a newline, so a row spans
two lines; the density's column is `breast_density` or `breast density`. A row's line is the one
at which its record begins.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from mtlbench.data.mammogram import LesionType, Pathology, Side
from mtlbench.data.manifest import ManifestRow

T = TypeVar("T")
Kind = Literal["mass", "calc"]
Part = Literal["train", "test"]

FOLDER = re.compile(
    r"(?P<image>(?P<kind>Mass|Calc)-(?P<part>Training|Test)_(?P<patient>P_[0-9]{5})_"
    r"(?P<side>LEFT|RIGHT)_(?P<view>CC|MLO))(?P<lesion>_[0-9]+)?"
)
"""A folder of the collection: of a whole image, or with a number of one of its lesions."""
_MOST_LINES = 8
"""Lines that a record may span: those of the originals have one or two."""
_FILE = re.compile(r"(?P<kind>mass|calc)_case_description_(?P<part>train|test)_set\.csv", re.I)
_KINDS: dict[str, Kind] = {"Mass": "mass", "Calc": "calc"}
_PARTS: dict[str, Part] = {"Training": "train", "Test": "test"}
_SIDES: dict[str, Side] = {"LEFT": "left", "RIGHT": "right"}
_TYPES: dict[Kind, LesionType] = {"mass": "mass", "calc": "calcification"}
_PATHOLOGIES: dict[str, Pathology] = {
    "BENIGN": "benign",
    "BENIGN_WITHOUT_CALLBACK": "benign_without_callback",
    "MALIGNANT": "malignant",
}
_PATHS = ("image file path", "cropped image file path", "roi mask file path")
_COLUMNS = (
    "patient id", "breast density", "left or right breast", "image view", "abnormality id",
    "abnormality type", "assessment", "pathology", *_PATHS,
)  # fmt: skip


class Name(NamedTuple):
    """What an image's folder says: `Mass-Training_P_00001_LEFT_CC`."""

    image_id: str
    kind: Kind
    part: Part
    patient: str
    side: Side
    view: str

    @property
    def film(self) -> str:
        """The picture, be it among the masses or the calcifications: `P_00001 LEFT CC`."""
        return f"{self.patient} {self.side.upper()} {self.view}"


class CaseRow(NamedTuple):
    """One abnormality."""

    place: ManifestRow
    """Where the row stands, and what is wrong with it."""
    name: Name
    number: int
    """Its abnormality id."""
    pathology: Pathology | None
    assessment: str
    density: str
    series: tuple[str, str, str]
    """SeriesInstanceUIDs of the whole image, the crop and the mask."""

    @property
    def type(self) -> LesionType:
        """The lesion's type is that of its CSV."""
        return _TYPES[self.name.kind]

    @property
    def folder(self) -> str:
        """Where its crop and its mask lie."""
        return f"{self.name.image_id}_{self.number}"


def described(file: str) -> tuple[Kind, Part] | None:
    """Tell what a file describes by its name; None: it is none of the four."""
    found = _FILE.fullmatch(file)
    if not found:
        return None
    kind: Kind = "mass" if found["kind"].lower() == "mass" else "calc"
    return kind, "train" if found["part"].lower() == "train" else "test"


def read_cases(path: Path, file: str) -> tuple[list[CaseRow], list[ManifestRow]]:
    """Read one of the four; rows whose image is not told are in the second list only."""
    half = described(path.name)
    assert half is not None
    places = list(read_rows(path, file, _COLUMNS))
    cases = [_case(place, *half) if place.cells else None for place in places]
    named = [case for case in cases if case is not None]
    return named, [p if case is None else case.place for p, case in zip(places, cases, strict=True)]


def read_rows(path: Path, file: str, columns: Sequence[str]) -> Iterator[ManifestRow]:
    """Yield a CSV's rows; names of columns are in lower case, with spaces for `_`.

    A malformed row, and what is wrong with the whole file, comes as a row without cells.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
            lines = list(stream)
    except OSError as error:
        yield _faulty(file, 1, f"cannot be read: {error.strerror}")
        return
    records = _records(lines)
    line, cells, fault = next(records, (1, [], ""))
    header = [cell.strip().lower().replace("_", " ") for cell in cells]
    if fault := fault or _header_fault(header, columns):
        yield _faulty(file, line, fault)
        return
    for line, cells, fault in records:
        if not fault and len(cells) != len(header):
            fault = f"must have {len(header)} cells as the header has, but has {len(cells)}"
        if fault:
            yield _faulty(file, line, fault)
        elif any(cells):
            yield ManifestRow(file, line, dict(zip(header, cells, strict=True)))


def _records(lines: Sequence[str]) -> Iterator[tuple[int, list[str], str]]:
    """Give each record's first line, stripped cells, and what is wrong with its text.

    Only the end of a cell may be a line's end. A record with another has a stray quotation mark,
    which would swallow those that follow: reading goes on with the next line.
    """
    at = 0
    while at < len(lines):
        reader = csv.reader(lines[at : at + _MOST_LINES])
        fault = ""
        try:
            cells = next(reader)
        except csv.Error as error:
            cells, is_torn, fault = [], True, f"must be a row of a CSV file: {error}"
        else:
            is_torn = any(len(cell.rstrip().splitlines()) > 1 for cell in cells)
            if is_torn or any("\ufffd" in cell for cell in cells):
                fault = "each cell must be one line of UTF-8, but one is not"
        yield at + 1, [cell.strip() for cell in cells], fault
        at += 1 if is_torn else reader.line_num


def _header_fault(header: Sequence[str], columns: Sequence[str]) -> str:
    if doubles := sorted({name for name in header if header.count(name) > 1}):
        return f"column names must be unique, but {doubles[0]!r} comes twice"
    missing = [name for name in columns if name not in header]
    return f"must have a column {missing[0]!r}, but has none" if missing else ""


def _faulty(file: str, line: int, message: str) -> ManifestRow:
    row = ManifestRow(file, line, {})
    row.error(message)
    return row


def _case(row: ManifestRow, kind: Kind, part: Part) -> CaseRow | None:
    """Check a row's columns against each other; None where no path names its image."""
    paths = [row.text(column).split("/") for column in _PATHS]
    folder = paths[0][0]
    name = parse_folder(folder)
    if name is None or name.image_id != folder:
        row.error(
            "image file path must begin with a folder such as Mass-Training_P_00001_LEFT_CC, "
            f"but begins with {folder!r}"
        )
        return None
    row = ManifestRow(row.file, row.line, {**row.cells, "image_id": folder}, row.findings)
    _check_name(row, name, kind, part)
    number = _number(row)
    for column, parts in zip(_PATHS[1:], paths[1:], strict=True):
        if parts[0] != f"{folder}_{number}":
            row.error(f"{column} must begin with {folder}_{number}, but begins with {parts[0]!r}")
    return CaseRow(
        place=row,
        name=name,
        number=number,
        pathology=_known(row, "pathology", _PATHOLOGIES),
        assessment=_grade(row, "assessment"),
        density=_grade(row, "breast density"),
        series=(_series(paths[0]), _series(paths[1]), _series(paths[2])),
    )


def parse_folder(folder: str) -> Name | None:
    """Take a folder's name apart, of an image or of a lesion; None: it is none of the two."""
    found = FOLDER.fullmatch(folder)
    if not found:
        return None
    return Name(
        found["image"], _KINDS[found["kind"]], _PARTS[found["part"]], found["patient"],
        _SIDES[found["side"]], found["view"],
    )  # fmt: skip


def _check_name(row: ManifestRow, name: Name, kind: Kind, part: Part) -> None:
    said = (
        row.text("patient id"), row.text("left or right breast").upper(), row.text("image view"),
        kind, part,
    )  # fmt: skip
    named = (name.patient, name.side.upper(), name.view, name.kind, name.part)
    labels = ("patient", "side", "view", "kind", "set")
    for label, ours, theirs in zip(labels, said, named, strict=True):
        if ours != theirs:
            row.error(f"{label} must be that of the image file path, {theirs}, but is {ours!r}")
    expected = _TYPES[kind]
    if (found := row.text("abnormality type")).lower() != expected:
        row.error(f"abnormality type must be {expected} in this file, but got {found!r}")


def _number(row: ManifestRow) -> int:
    text = row.text("abnormality id")
    if not re.fullmatch(r"[1-9][0-9]{0,2}", text):
        row.error(f"abnormality id must be a number from 1 to 999, but got {text!r}")
        return 0
    return int(text)


def _known(row: ManifestRow, column: str, words: Mapping[str, T]) -> T | None:
    text = row.text(column).upper()
    if text not in words:
        row.error(f"{column} must be one of {', '.join(words)}, but got {text!r}")
    return words.get(text)


def _grade(row: ManifestRow, column: str) -> str:
    """Give a cell of 0 to 6 (the originals have a density of 0, too)."""
    text = row.text(column)
    if re.fullmatch("[0-6]?", text):
        return text
    row.note(f"{column} must be 0 to 6, but got {text!r}", "left empty")
    return ""


def _series(parts: Sequence[str]) -> str:
    """The last folder of a path is named by its SeriesInstanceUID."""
    return parts[-2] if len(parts) > 2 else ""
