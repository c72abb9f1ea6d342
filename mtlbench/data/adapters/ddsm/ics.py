"""DDSM's text files: how they are read and reported on, and the `.ics`, one a case.

Heath M et al. (2001), The Digital Database for Screening Mammography, IWDM 2000: 212-218, and the
database's page "Description of a case". Nothing of a date or an age is kept or quoted.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from mtlbench.data.mammogram import Finding
from mtlbench.data.pixels import MAX_PIXELS
from mtlbench.errors import DataError

VIEWS = ("LEFT_CC", "LEFT_MLO", "RIGHT_CC", "RIGHT_MLO")
_VIEW_FORM = "LINES h PIXELS_PER_LINE w BITS_PER_PIXEL b RESOLUTION r OVERLAY|NON_OVERLAY"
_VIEW_WORDS = (
    "LINES", "[1-9][0-9]{0,4}", "PIXELS_PER_LINE", "[1-9][0-9]{0,4}", "BITS_PER_PIXEL",
    "[1-9][0-9]?", "RESOLUTION", r"[0-9]{1,5}(\.[0-9]{1,6})?", "OVERLAY|NON_OVERLAY",
)  # fmt: skip
_SHOWN = 24
"""Characters of a wrong word that are quoted."""


@dataclass(frozen=True, slots=True)
class Report:
    """Says what is wrong or odd in one file, at a row of it."""

    file: str
    findings: list[Finding]
    image_id: str = ""

    def of(self, image_id: str) -> "Report":
        """Give the same report, speaking of one image."""
        return Report(self.file, self.findings, image_id)

    def error(self, row: int | None, message: str) -> None:
        """Add an error."""
        self.findings.append(Finding("error", self.file, row, message, self.image_id))

    def note(self, row: int | None, message: str, action: str = "") -> None:
        """Add a note, and what `prepare` does about it."""
        self.findings.append(Finding("note", self.file, row, message, self.image_id, action))


class View(NamedTuple):
    """One image as its .ics describes it; height and width in pixels of the scan."""

    row: int
    name: str
    height: int
    width: int
    spacing_mm: float
    has_overlay: bool


class Case(NamedTuple):
    """What an .ics says; density 1 to 4 or empty."""

    views: list[View]
    density: str
    digitizer: str


def read_text(path: Path) -> str:
    r"""Read a text file with any line ends as `\n`; what is not UTF-8 is replaced.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def rows_of(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that are not blank: row from 1, and words."""
    for row, line in enumerate(text.split("\n"), start=1):
        if words := line.split():
            yield row, words


def shown(text: str) -> str:
    """Give the first word of what is wrong, for a message: a joined line may hold a date."""
    word = (text.split() or [""])[0]
    return word if len(word) <= _SHOWN else f"{word[:_SHOWN]}..."


def parse_ics(text: str, exam_id: str, report: Report) -> Case:
    """Read a case's views; a view whose line is wrong is reported and left out."""
    views, named = list[View](), set[str]()
    density = digitizer = ""
    for row, words in rows_of(text):
        if words[0].startswith(("LEFT_", "RIGHT_")):
            named.add(words[0])
            view = _parse_view(row, words, report.of(f"{exam_id}.{shown(words[0])}"))
            views += [view] if view else []
        elif words[0] == "DENSITY":
            density = _parse_density(row, " ".join(words[1:]), report)
        elif words[0] == "DIGITIZER":
            digitizer = " ".join(words[1:])
    if not named:
        report.error(None, f"must have a line {_VIEW_FORM} for each view, but has none")
    elif missing := [view for view in VIEWS if view not in named]:
        report.note(None, f"has no line for {', '.join(missing)}", "left out")
    return Case(views, density, digitizer)


def _parse_density(row: int, word: str, report: Report) -> str:
    """Give 1 to 4; 0 stands for unknown."""
    if word not in ("", *"01234"):
        message = f"DENSITY must be 0 to 4, but got {shown(word)!r}"
        report.note(row, message, "density is left empty")
    return word if word in tuple("1234") else ""


def _parse_view(row: int, words: Sequence[str], report: Report) -> View | None:
    name, *rest = words
    if name not in VIEWS:
        report.error(row, f"a view must be one of {', '.join(VIEWS)}, but got {shown(name)!r}")
        return None
    for number, (word, form) in enumerate(zip_longest(rest, _VIEW_WORDS, fillvalue=""), start=2):
        if not re.fullmatch(form, word):
            message = f"must be {name} {_VIEW_FORM}, but word {number} is {shown(word)!r}"
            report.error(row, message)
            return None
    height, width, spacing_mm = int(rest[1]), int(rest[3]), float(rest[7]) / 1000
    if height * width > MAX_PIXELS or not spacing_mm:
        message = (
            f"an image must have 1 to {MAX_PIXELS} pixels and a RESOLUTION above 0, "
            f"but got {height} x {width} pixels of {1000 * spacing_mm:g} micrometres"
        )
        report.error(row, message)
        return None
    return View(row, name, height, width, spacing_mm, rest[8] == "OVERLAY")
