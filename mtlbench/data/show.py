"""One image as people look at it: grey, with the outline of each lesion in its class's colour.

H, W = height and width in pixels.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from mtlbench.data.check import lost
from mtlbench.data.index import Regions
from mtlbench.data.mammogram import Lesion, Mammogram
from mtlbench.data.parallel import ordered_map
from mtlbench.data.pixels import Pixels, salvage_image
from mtlbench.errors import DataError, StudyError
from mtlbench.records import atomic_path

COLOURS = {
    1: (0, 158, 115),
    2: (213, 94, 0),
    3: (86, 180, 233),
    4: (204, 121, 167),
    None: (240, 228, 66),
}
"""Okabe-Ito, by class; None: a lesion of none of the four classes."""
LINE_SHARE = 0.002
"""Width of an outline as a share of the image's longer side."""
_DARK, _BRIGHT = 1, 99.7
"""Percentiles that are shown black and white."""

Colour = NDArray[np.uint8]
"""H x W x 3, RGB."""


def write_image(mammogram: Mammogram, out: Path, salvage_below: Path | None = None) -> int:
    """Write `.npy` (the pixels as decoded, HW) or `.png` (8 bit RGB, lesions outlined).

    With `salvage_below`, the data set's folder, a cut-off LJPEG gives the rows that are whole, 0
    in the others, and the number of those is returned. Decoding has a process of its own.

    Raises:
        StudyError: another suffix.
        DataError: the image or a mask cannot be read.
    """
    if out.suffix not in (".png", ".npy"):
        raise StudyError(f"--out must end in .png or .npy, but got {str(out)!r}")
    work = partial(_rendered, picture=out.suffix == ".png", salvage_below=salvage_below)
    [(array, missing)] = ordered_map(work, [mammogram], 1, _refused)
    with atomic_path(out) as temporary, temporary.open("wb") as stream:
        if out.suffix == ".npy":
            np.save(stream, array)
        else:
            Image.fromarray(array).save(stream, format="png")
    return missing


def _rendered(
    mammogram: Mammogram, picture: bool, salvage_below: Path | None
) -> tuple[NDArray[Any], int]:
    missing = 0
    if salvage_below is None:
        pixels_HW = mammogram.pixels()
    else:
        pixels_HW, missing = salvage_image(salvage_below / mammogram.path)
    return (_outlined(mammogram, pixels_HW) if picture else pixels_HW), missing


def _refused(mammogram: Mammogram) -> tuple[NDArray[Any], int]:
    raise DataError(str(lost(mammogram)))


def _outlined(mammogram: Mammogram, pixels_HW: Pixels) -> Colour:
    table = mammogram.tone("raw")
    regions = [
        None if lesion.outline is None else lesion.outline.rasterise(*pixels_HW.shape)
        for lesion in mammogram.lesions
    ]
    picture = grey(pixels_HW if table is None else table[pixels_HW])
    draw_outlines(
        picture, mammogram.lesions, regions, max(1, round(LINE_SHARE * max(picture.shape)))
    )
    return picture


def grey(pixels_HW: Pixels) -> Colour:
    """Spread the grey levels over 0 to 255, without the few that are far from all others."""
    low, high = np.percentile(pixels_HW[::4, ::4], (_DARK, _BRIGHT))
    share_HW = (pixels_HW - low) / max(high - low, 1)
    grey_HW = (np.clip(share_HW, 0, 1) * 255).astype(np.uint8)
    return np.repeat(grey_HW[:, :, None], 3, axis=2)


def draw_outlines(picture: Colour, lesions: Sequence[Lesion], regions: Regions, width: int) -> None:
    """Draw a line of `width` pixels around each region, in place."""
    for lesion, region in zip(lesions, regions, strict=True):
        if region is None:
            continue
        padded = np.pad(region.mask_hw, width)
        edge = ndimage.binary_dilation(padded, iterations=width) & ~padded
        rows, columns = np.nonzero(edge)
        rows, columns = rows + region.top - width, columns + region.left - width
        height, breadth, _ = picture.shape
        seen = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < breadth)
        picture[rows[seen], columns[seen]] = COLOURS[lesion.mask_class]
