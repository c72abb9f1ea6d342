"""Regions of interest as OsiriX exports them: a property list (XML) for each image.

`Images` is a list of one dictionary with `ROIs`, each with a `Name` and its points in pixels,
`Point_px`: texts `(x, y)`, origin top left.
"""

import plistlib
import re
from pathlib import Path
from typing import Any, NamedTuple
from xml.parsers.expat import ExpatError

from mtlbench.errors import DataError

_MAX_BYTES = 2**26
_MAX_POINTS = 100_000
"""Points of an image, all regions together."""
_NUMBER = r"\s*(-?[0-9]{1,6}(?:\.[0-9]{0,20})?)\s*"
_POINT = re.compile(rf"\({_NUMBER},{_NUMBER}\)")


class Roi(NamedTuple):
    """A region: its name as written, and its points, (x, y) each; there may be none."""

    name: str
    points: tuple[tuple[float, float], ...]


class RoiError(DataError):
    """The file is damaged; `line` counts from 1, None where no single one is at fault."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def read_rois(path: Path) -> list[Roi]:
    """Read all regions of an image.

    Raises:
        RoiError: the file cannot be read, or is no such list; the message does not name it.
    """
    content = _content(path)
    try:
        # Entities, with which a small file could fill the memory, are refused by plistlib.
        images = plistlib.loads(content, fmt=plistlib.FMT_XML)["Images"]
        regions = [region for image in images for region in image["ROIs"]]
        stated = sum(image.get("NumberOfROIs", len(image["ROIs"])) for image in images)
    except ExpatError as error:
        raise RoiError("must be XML, but is damaged or cut off here", error.lineno) from None
    except Exception as error:  # plistlib lets its parser's own through
        raise RoiError(
            f"must hold Images with ROIs, but does not ({type(error).__name__})"
        ) from None
    if len(images) > 1:
        raise RoiError(f"must speak of one image, but speaks of {len(images)}")
    if stated != len(regions):
        raise RoiError(f"must hold as many regions as NumberOfROIs says, but holds {len(regions)}")
    rois = [_roi(number, region, content) for number, region in enumerate(regions, start=1)]
    if (found := sum(len(roi.points) for roi in rois)) > _MAX_POINTS:
        raise RoiError(f"must hold at most {_MAX_POINTS} points, but holds {found}")
    return rois


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise RoiError(f"cannot be read: {error.strerror}") from None
    if len(content) > _MAX_BYTES:
        raise RoiError(f"must have at most {_MAX_BYTES} bytes, but has more")
    return content


def _roi(number: int, region: Any, content: bytes) -> Roi:
    """Check one region; `content` is the file's, to tell the line."""
    if not isinstance(region, dict):
        raise RoiError(f"region {number} must be a dictionary, but is none")
    name, texts = region.get("Name"), region.get("Point_px")
    if not isinstance(name, str) or not isinstance(texts, list):
        raise RoiError(f"region {number} must have a Name and a list Point_px")
    if region.get("NumberOfPoints", len(texts)) != len(texts):
        raise RoiError(
            f"region {number} must have as many points as NumberOfPoints says, but has {len(texts)}"
        )
    points = []
    for text in texts:
        found = _POINT.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise RoiError(
                f"a point of region {number} must be (x, y) in pixels, but is not",
                _line(text, content),
            )
        points.append((float(found[1]), float(found[2])))
    return Roi(name.strip(), tuple(points))


def _line(text: object, content: bytes) -> int | None:
    """Give the first line that holds this text as a value: wherever it is a point it is wrong."""
    at = content.find(f">{text}<".encode(errors="replace"))
    return None if at < 0 else content.count(b"\n", 0, at) + 1
