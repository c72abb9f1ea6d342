"""What every reader of image files shares.

H, W = height and width in pixels.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtlbench.errors import DataError

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
Table = NDArray[np.uint8] | NDArray[np.uint16]
"""A grey level for each stored value."""

MAX_PIXELS = 2**26
"""Largest image that is decoded (8192 x 8192): a header that claims more is taken as damaged."""


class ImageHeader(NamedTuple):
    """What a file says of its image before any pixel is decoded."""

    height: int
    width: int
    spacing_mm: float | None = None
    chest_wall: Literal["left", "right", ""] = ""
    """The border at which the chest wall lies, where the file knows."""
    scanner: str = ""
    series: str = ""
    """DICOM's SeriesDescription."""


def check_size(path: Path, height: int, width: int) -> None:
    """Raise DataError unless an image of this size may be decoded."""
    if height <= 0 or width <= 0 or height * width > MAX_PIXELS:
        raise DataError(
            f"{path}: an image must have 1 to {MAX_PIXELS} pixels, "
            f"but the header says {height} x {width}"
        )


def unsigned(pixels_HW: NDArray[Any]) -> Pixels:
    """Give uint8 or uint16 in native byte order; a 1-bit image becomes 0 and 1."""
    if pixels_HW.itemsize == 2:
        return pixels_HW.astype(np.uint16, copy=False)
    return pixels_HW.astype(np.uint8, copy=False)
