"""DDSM's `.OVERLAY`: the abnormalities of one image, with their outlines as chain codes.

`BOUNDARY` is the outline of an abnormality, `CORE` that of a denser part of it, which is skipped.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mtlbench.data.adapters.ddsm.ics import Report, rows_of, shown
from mtlbench.data.mammogram import LesionType, Pathology
from mtlbench.data.outlines import Chain

_CHAINS = ("BOUNDARY", "CORE")
_KEYS = (
    "TOTAL_ABNORMALITIES", "ABNORMALITY", "LESION_TYPE", "ASSESSMENT", "SUBTLETY", "PATHOLOGY",
    "TOTAL_OUTLINES", *_CHAINS,
)  # fmt: skip
_PATHOLOGIES: dict[str, Pathology] = {
    "MALIGNANT": "malignant",
    "BENIGN": "benign",
    "BENIGN_WITHOUT_CALLBACK": "benign_without_callback",
    "UNPROVEN": "unproven",
}
_TYPES: dict[str, LesionType] = {
    "MASS": "mass", "CALCIFICATION": "calcification", "OTHER": "other",
}  # fmt: skip
"""As the radiologists marked it: a mass whose SHAPE is a distortion is a mass, as in CBIS-DDSM."""
_RANKS: tuple[LesionType, ...] = ("calcification", "mass", "other")
"""Which of several LESION_TYPE lines of one abnormality counts: the first of these."""
_OUTSIDE = 0.1
"""Share of the image's height or width by which an outline may leave it."""
_GAP = 0.05
"""Share of a chain's steps that may be missing at its end."""


class Abnormality(NamedTuple):
    """One abnormality of an .OVERLAY; an outline is None where its chain is wrong."""

    type: LesionType
    pathology: Pathology | None
    assessment: int | None
    outlines: list[Chain | None]


class _Section(NamedTuple):
    """A keyword's line with the words after it, up to the next keyword: (row, word)."""

    row: int
    key: str
    words: list[tuple[int, str]]

    @property
    def text(self) -> list[str]:
        return [word for _, word in self.words]


def parse_overlay(text: str, height: int, width: int, report: Report) -> list[Abnormality]:
    """Read the abnormalities of an image of this size."""
    groups: list[list[_Section]] = [[]]
    for section in _sections(text, report):
        if section.key == "ABNORMALITY":
            groups.append([])
        groups[-1].append(section)
    head, *bodies = groups
    for section in head:
        if section.key == "TOTAL_ABNORMALITIES":
            _check_total(section, len(bodies), "abnormalities", report)
        else:
            report.error(section.row, f"{section.key} must follow ABNORMALITY, but comes before it")
    if not bodies:
        report.error(None, "must describe at least one abnormality, but describes none")
    return [_parse_abnormality(body, (height, width), report) for body in bodies]


def _sections(text: str, report: Report) -> list[_Section]:
    """Group the lines by keyword; only a chain may go on over several lines."""
    sections: list[_Section] = []
    for row, words in rows_of(text):
        if words[0] in _KEYS:
            sections.append(_Section(row, words[0], [(row, word) for word in words[1:]]))
        elif sections and sections[-1].key in _CHAINS:
            sections[-1].words.extend((row, word) for word in words)
        else:
            message = f"must begin with one of {', '.join(_KEYS)}, but got {shown(words[0])!r}"
            report.error(row, message)
    return sections


def _parse_abnormality(
    body: Sequence[_Section], size: tuple[int, int], report: Report
) -> Abnormality:
    row, by_key = body[0].row, {key: [s for s in body if s.key == key] for key in _KEYS}
    for section in by_key["CORE"]:
        _check_end(section, report)
    for section in by_key["TOTAL_OUTLINES"]:
        found = sum(len(by_key[key]) for key in _CHAINS)
        _check_total(section, found, "outlines", report)
    outlines = [_parse_chain(section, size, report) for section in by_key["BOUNDARY"]]
    if not outlines:
        report.note(row, "an abnormality without BOUNDARY", "kept for its label, without a mask")
    return Abnormality(
        _parse_types(row, by_key["LESION_TYPE"], report),
        _parse_pathology(row, by_key["PATHOLOGY"], report),
        _parse_assessment(by_key["ASSESSMENT"], report),
        outlines,
    )


def _parse_types(row: int, sections: Sequence[_Section], report: Report) -> LesionType:
    """Several lines may describe one abnormality: calcifications within a mass are both."""
    found: list[LesionType] = []
    for section in sections:
        word = section.text[0] if section.text else ""
        if word not in _TYPES:
            message = f"LESION_TYPE must be one of {', '.join(_TYPES)}, but got {shown(word)!r}"
            report.error(section.row, message)
        found += [_TYPES[word]] if word in _TYPES else []
    if not sections:
        report.error(row, "an abnormality must have a LESION_TYPE, but has none")
    return min(found, key=_RANKS.index, default="other")


def _parse_pathology(row: int, sections: Sequence[_Section], report: Report) -> Pathology | None:
    if len(sections) != 1:
        report.error(row, f"an abnormality must have one PATHOLOGY, but has {len(sections)}")
        return None
    word = " ".join(sections[0].text)
    if word not in _PATHOLOGIES:
        known = ", ".join(_PATHOLOGIES)
        message = f"PATHOLOGY must be one of {known}, but got {shown(word)!r}"
        report.error(sections[0].row, message)
    return _PATHOLOGIES.get(word)


def _parse_assessment(sections: Sequence[_Section], report: Report) -> int | None:
    """Give the BI-RADS category."""
    for section in sections:
        word = " ".join(section.text)
        if word in tuple("012345"):
            return int(word)
        report.error(section.row, f"ASSESSMENT must be 0 to 5, but got {shown(word)!r}")
    return None


def _check_total(section: _Section, found: int, what: str, report: Report) -> None:
    word = " ".join(section.text)
    if word != str(found):
        report.note(section.row, f"says {shown(word)!r} {what}, but there are {found}")


def _check_end(section: _Section, report: Report) -> bool:
    """Tell whether a chain's only `#` is its last word."""
    words = section.text
    at = words.index("#") if "#" in words else len(words)
    if at == len(words) - 1:
        return True
    row, word = (section.words[-1][0] if words else section.row), "nothing"
    if at < len(words):
        row, word = section.words[at + 1]
    report.error(row, f"a chain must end with #, but got {shown(word)!r} after {at} words")
    return False


def _parse_chain(section: _Section, size: tuple[int, int], report: Report) -> Chain | None:
    if not _check_end(section, report):
        return None
    start, codes = section.words[:2], section.words[2:-1]
    if len(section.words) < 3 or not all(re.fullmatch("-?[0-9]{1,6}", word) for _, word in start):
        got = " ".join(shown(word) for _, word in start)
        report.error(section.words[0][0], f"a chain must begin with x and y, but got {got!r}")
        return None
    for number, (row, word) in enumerate(codes, start=1):
        if word not in tuple("01234567"):
            message = f"a chain's codes must be 0 to 7, but code {number} is {shown(word)!r}"
            report.error(row, message)
            return None
    chain = Chain(int(start[0][1]), int(start[1][1]), bytes(int(word) for _, word in codes))
    return chain if _is_plausible(chain, start[0][0], size, report) else None


def _is_plausible(chain: Chain, row: int, size: tuple[int, int], report: Report) -> bool:
    """Tell whether a chain closes and lies in the image, but for a little."""
    x_min, y_min, x_max, y_max = chain.bounds()
    height, width = size
    y_out, x_out = _OUTSIDE * height, _OUTSIDE * width
    if min(x_min + x_out, y_min + y_out) < 0 or x_max > width + x_out or y_max > height + y_out:
        message = (
            f"an outline must lie in the image of {height} x {width}, but has x from "
            f"{x_min:.0f} to {x_max:.0f} and y from {y_min:.0f} to {y_max:.0f}"
        )
        report.error(row, message)
        return False
    points_N2 = chain.points()
    gap = int(np.abs(points_N2[-1] - points_N2[0]).max())
    message = f"a chain must return to its start, but ends {gap} pixels from it"
    if gap > max(2, _GAP * len(chain.codes)):
        report.error(row, message)
        return False
    if gap:
        report.note(row, message, "closed by a line")
    return True
