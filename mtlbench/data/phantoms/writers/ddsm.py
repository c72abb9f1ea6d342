"""Phantoms as DDSM is distributed: a folder a case, with LJPEGs, `.OVERLAY`s and an `.ics`."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mtlbench.config import DataConfig
from mtlbench.data.adapters.phantom import read
from mtlbench.data.mammogram import Lesion, Mammogram
from mtlbench.data.outlines import Mask
from mtlbench.data.pixels.ljpeg import encode_ljpeg
from mtlbench.errors import DataError
from mtlbench.records import write_text

MAX_PATIENTS = 9999
"""Cases are numbered with four digits."""
HOSPITALS = (("A", "DBA 21"), ("A", "HOWTEK 43.5"), ("B", "LUMISYS"), ("C", "LUMISYS LASER"),
             ("D", "HOWTEK 43.5"))  # fmt: skip
"""First letter of a case and digitiser; patients take turns."""
_STEPS = ((0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1))
"""dx, dy of the chain codes 0 to 7."""
_TYPES = {
    ("mass", "benign"): "MASS SHAPE OVAL MARGINS CIRCUMSCRIBED",
    ("mass", "malignant"): "MASS SHAPE IRREGULAR-ARCHITECTURAL_DISTORTION MARGINS SPICULATED",
    ("calcification", "benign"): "CALCIFICATION TYPE PUNCTATE DISTRIBUTION CLUSTERED",
    ("calcification", "malignant"): (
        "CALCIFICATION TYPE PLEOMORPHIC DISTRIBUTION SEGMENTAL\n"
        "LESION_TYPE MASS SHAPE ARCHITECTURAL_DISTORTION MARGINS N/A"
    ),
}
_ICS = """\
 
ics_version 1.0
filename {filename}
DATE_OF_STUDY 21 6 1995
PATIENT_AGE 57
FILM 
FILM_TYPE REGULAR
DENSITY {density}
DATE_DIGITIZED 4 5 1999 
DIGITIZER {digitizer}
SEQUENCE
{views}
"""  # noqa: W291, W293 (as in the original)
_ABNORMALITY = """\
ABNORMALITY {number} 
LESION_TYPE {type}
ASSESSMENT {assessment} 
SUBTLETY 4 
PATHOLOGY {pathology}
TOTAL_OUTLINES {total} 
{outlines}
"""  # noqa: W291 (as in the original)


def write(folder: Path, config: DataConfig) -> None:
    """Write `cases/{normals,benigns,cancers}/`, pixels times 16 for 12 bits; the .ics come last.

    Chains follow the pixels at the edge of a lesion's mask, so that the mask is that of the
    phantom to the pixel, but for holes, which are filled, and for parts that touch nowhere: those
    are outlines of their own. Calcifications have a CORE, and in the first overlay that is
    written TOTAL_OUTLINES is one too high.

    Raises:
        DataError: more patients than four digits can number.
    """
    if config.patients > MAX_PATIENTS:
        raise DataError(
            f"{folder}: DDSM's layout holds at most {MAX_PATIENTS} patients, "
            f"but got {config.patients}"
        )
    by_patient: defaultdict[str, list[Mammogram]] = defaultdict(list)
    for mammogram in read(folder, config).mammograms:
        by_patient[mammogram.patient_id].append(mammogram)
    overlays, listings = dict[Path, str](), dict[Path, str]()
    for number, views in enumerate(by_patient.values(), start=1):
        hospital, digitizer = HOSPITALS[(number - 1) % len(HOSPITALS)]
        kind = _kind(views)
        case = folder / "cases" / f"{kind}s" / f"{kind}_01" / f"case{number:04d}"
        case.mkdir(parents=True)
        for mammogram in views:
            path = case / f"{hospital}_{number:04d}_1.{_view(mammogram)}"
            _write_image(path.with_name(f"{path.name}.LJPEG"), mammogram)
            if mammogram.lesions:
                overlays[path.with_name(f"{path.name}.OVERLAY")] = _overlay(mammogram)
        name = f"{hospital}-{number:04d}-1"
        listings[case / f"{name}.ics"] = _ics(name, digitizer, views)
    for path in list(overlays)[:1]:
        overlays[path] = re.sub(r"(?<=OUTLINES )\d+", _one_more, overlays[path], count=1)
    for path, text in (overlays | listings).items():
        write_text(path, text)


def _write_image(path: Path, mammogram: Mammogram) -> None:
    """Write 12 bits, coded as 16 whatever the digitiser, as the one scan that we know is."""
    path.write_bytes(encode_ljpeg(mammogram.pixels().astype(np.uint16) * 16, 16))


def _one_more(number: re.Match[str]) -> str:
    return str(int(number[0]) + 1)


def _kind(views: Sequence[Mammogram]) -> Literal["normal", "benign", "cancer"]:
    if any(mammogram.label for mammogram in views):
        return "cancer"
    return "benign" if any(mammogram.lesions for mammogram in views) else "normal"


def _view(mammogram: Mammogram) -> str:
    return f"{mammogram.side.upper()}_{mammogram.view}"


def _ics(name: str, digitizer: str, views: Sequence[Mammogram]) -> str:
    depth = 16 if digitizer.startswith("DBA") else 12
    lines = [
        f"{_view(m)} LINES {m.height} PIXELS_PER_LINE {m.width} BITS_PER_PIXEL {depth} "
        f"RESOLUTION {1000 * (m.spacing_mm or 0):g} {'' if m.lesions else 'NON_'}OVERLAY"
        for m in views
    ]
    return _ICS.format(
        filename=name, density=views[0].density, digitizer=digitizer, views="\n".join(lines)
    )


def _overlay(mammogram: Mammogram) -> str:
    size = mammogram.height, mammogram.width
    parts = [_abnormality(n, one, size) for n, one in enumerate(mammogram.lesions, start=1)]
    return f"TOTAL_ABNORMALITIES {len(parts)}\n{''.join(parts)}"


def _abnormality(number: int, lesion: Lesion, size: tuple[int, int]) -> str:
    assert lesion.outline
    assert lesion.pathology
    region = lesion.outline.rasterise(*size)
    chains = list(trace(region.mask_hw, region.left, region.top))
    outlines = [f"BOUNDARY\n{chain}" for chain in chains]
    if lesion.type == "calcification":
        x, y, *_ = chains[0].split()
        outlines.append(f"\tCORE\n{x} {y}  2 4 6 0 #")
    return _ABNORMALITY.format(
        number=number,
        type=_TYPES[lesion.type, lesion.pathology],
        assessment=5 if lesion.pathology == "malignant" else 3,
        pathology=lesion.pathology.upper(),
        total=len(outlines),
        outlines="\n".join(outlines),
    )


def trace(mask_hw: Mask, left: int = 0, top: int = 0) -> Iterator[str]:
    """Yield the chain `x y  c c ... #` around each connected part of a mask at (left, top)."""
    parts_hw, count = ndimage.label(mask_hw, np.ones((3, 3)))
    for part in range(1, count + 1):
        x, y, codes = _follow(parts_hw == part)
        yield " ".join([f"{left + x} {top + y} ", *map(str, codes), "#"])


def _follow(part_hw: NDArray[np.bool_]) -> tuple[int, int, list[int]]:
    """Follow a part's edge clockwise from the first pixel of its first row (Moore neighbours)."""
    padded = np.pad(part_hw, 1)
    first_y, first_x = np.argwhere(padded)[0].tolist()
    x, y, codes, ahead = first_x, first_y, list[int](), 0
    while True:
        turns = ((ahead + turn) % 8 for turn in range(8))
        code = next((c for c in turns if padded[y + _STEPS[c][1], x + _STEPS[c][0]]), None)
        if code is None or (codes and (x, y, code) == (first_x, first_y, codes[0])):
            return first_x - 1, first_y - 1, codes
        codes.append(code)
        x, y = x + _STEPS[code][0], y + _STEPS[code][1]
        # Clockwise from the pixel outside that was looked at last.
        ahead = (code - 2 - code % 2) % 8
