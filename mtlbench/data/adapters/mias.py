"""mini-MIAS as distributed: `Info.txt` with the PGMs beside it or in `pgm/`.

Suckling J et al. (1994), The Mammographic Image Analysis Society Digital Mammogram Database,
Excerpta Medica ICS 1069:375-378. Quirks: circles have their origin at the bottom left; an image
may have several rows; a row may have `*NOTE 3*` for coordinates (calcifications all over the
image), or none (mdb059); films come in pairs of one patient, odd the left breast, even the right.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from mtlbench.config import DataConfig
from mtlbench.data.mammogram import Finding, Index, Lesion, LesionType, Mammogram
from mtlbench.data.outlines import Circle
from mtlbench.data.pixels import ImageHeader, read_header, read_image
from mtlbench.errors import DataError

INFO = "Info.txt"
SPACING_MM = 0.2
SIDE = 1024
"""Height and width of every image as distributed, in pixels."""
_CLASSES = ("CALC", "CIRC", "SPIC", "MISC", "ARCH", "ASYM")
_DATA_ROW = re.compile(r"mdb\d{3}\s")
_LESION_ROW = re.compile(
    rf"(?P<name>mdb\d{{3}}) (?P<tissue>[FGD]) (?P<kind>{'|'.join(_CLASSES)}) (?P<severity>[BM])"
    r"(?: (?P<x>\d+) (?P<y>\d+) (?P<radius>\d+)| (?P<note>\*NOTE 3\*))?"
)
_NORMAL_ROW = re.compile(r"(?P<name>mdb\d{3}) (?P<tissue>[FGD]) NORM")


class _Row(NamedTuple):
    """One finding of an image; `kind` is one of `_CLASSES`, empty for a normal."""

    line: int
    tissue: str
    kind: str
    malignant: bool
    circle: tuple[int, int, int] | None


def read(root: Path, config: DataConfig) -> Index:
    """Index mini-MIAS, whole or in part.

    Raises:
        DataError: there is no Info.txt.
    """
    rows, findings = _read_info(root / INFO)
    pixels = root / "pgm" if (root / "pgm").is_dir() else root
    masses = config.label_rule.mias_masses
    mammograms = [_mammogram(root, pixels, name, of, masses, findings) for name, of in rows.items()]
    named = {*rows, *(finding.image_id for finding in findings)}
    findings += [
        Finding(
            "note",
            path.relative_to(root).as_posix(),
            None,
            f"has no row in {INFO}",
            path.stem,
            "left out",
        )
        for path in sorted(pixels.glob("mdb*.pgm"))
        if path.stem not in named
    ]
    return Index(mammograms, findings)


def _read_info(path: Path) -> tuple[dict[str, list[_Row]], list[Finding]]:
    """Rows by image; the prose around them is skipped."""
    if not path.is_file():
        raise DataError(f"{path}: no such file: mini-MIAS lists its images there")
    rows: defaultdict[str, list[_Row]] = defaultdict(list)
    findings = []
    lines = path.read_text(encoding="latin-1").splitlines()
    for number, line in enumerate(lines, start=1):
        if not _DATA_ROW.match(line):
            continue
        text = " ".join(line.split())
        found = _NORMAL_ROW.fullmatch(text) or _LESION_ROW.fullmatch(text)
        if found is None:
            message = f"must be reference, tissue, class, severity, x, y, radius, but got {text!r}"
            findings.append(Finding("error", INFO, number, message, text[:6]))
            continue
        rows[found["name"]].append(_parse(number, found.groupdict()))
    return dict(rows), findings


def _parse(line: int, found: dict[str, str | None]) -> _Row:
    x, y, radius = (found.get(key) for key in ("x", "y", "radius"))
    return _Row(
        line=line,
        tissue=found["tissue"] or "",
        kind=found.get("kind") or "",
        malignant=found.get("severity") == "M",
        circle=(int(x), int(y), int(radius)) if x and y and radius else None,
    )


def _mammogram(
    root: Path,
    folder: Path,
    name: str,
    rows: list[_Row],
    masses: Sequence[str],
    findings: list[Finding],
) -> Mammogram:
    path, first = folder / f"{name}.pgm", rows[0].line
    header = ImageHeader(0, 0)
    try:
        header = read_header(path)
    except DataError as error:
        findings.append(Finding("error", INFO, first, str(error), name))
    lesions = [row for row in rows if row.kind]
    if lesions and len(lesions) < len(rows):
        message = "must be normal or have lesions, but has rows of both kinds"
        findings.append(Finding("error", INFO, first, message, name))
    findings += [
        Finding(
            "note",
            INFO,
            row.line,
            "a lesion without coordinates",
            name,
            "kept for its label, without a mask",
        )
        for row in lesions
        if row.circle is None
    ]
    number = int(name[3:])
    side: Literal["left", "right"] = "left" if number % 2 else "right"
    return Mammogram(
        image_id=name,
        patient_id=f"P{(number + 1) // 2:03d}",
        pixels=partial(read_image, path),
        height=header.height or SIDE,
        width=header.width or SIDE,
        exam_id=f"P{(number + 1) // 2:03d}",
        side=side,
        view="MLO",
        label=int(any(row.malignant for row in rows)),
        label_source=f"{INFO} severity",
        density=rows[0].tissue,
        spacing_mm=SPACING_MM,
        has_mask=all(row.circle for row in lesions),
        lesions=tuple(_lesion(row, header.height or SIDE, masses) for row in lesions),
        path=path.relative_to(root).as_posix() if header.height else "",
        origin=INFO,
        row=first,
        # Left breasts are shown with the chest wall at the right border, right ones at the left.
        chest_wall="right" if side == "left" else "left",
    )


def _lesion(row: _Row, height: int, masses: Sequence[str]) -> Lesion:
    kind: LesionType = "mass" if row.kind in masses else "other"
    kind = "calcification" if row.kind == "CALC" else kind
    pathology: Literal["malignant", "benign"] = "malignant" if row.malignant else "benign"
    if row.circle is None:
        return Lesion(kind, pathology, None)
    x, y, radius = row.circle
    return Lesion(kind, pathology, Circle(x, height - y, radius))
