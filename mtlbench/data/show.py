"""One image as people look at it: grey, with the outline of each lesion in its class's colour.

H, W = height and width in pixels.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from mtlbench.data.mammogram import Mammogram
from mtlbench.errors import StudyError
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


def write_image(mammogram: Mammogram, out: Path) -> None:
    """Write `.npy` (the pixels as decoded, HW) or `.png` (8 bit RGB, lesions outlined).

    Raises:
        StudyError: another suffix.
        DataError: the image or a mask cannot be read.
    """
    if out.suffix not in (".png", ".npy"):
        raise StudyError(f"--out must end in .png or .npy, but got {str(out)!r}")
    pixels_HW = mammogram.pixels()
    with atomic_path(out) as temporary, temporary.open("wb") as stream:
        if out.suffix == ".npy":
            np.save(stream, pixels_HW)
        else:
            Image.fromarray(_outlined(mammogram, pixels_HW)).save(stream, format="png")


def _outlined(mammogram: Mammogram, pixels_HW: np.ndarray) -> np.ndarray:
    top = max(int(pixels_HW.max()), 1)
    grey_HW = (pixels_HW.astype(np.float64) * 255 / top).astype(np.uint8)
    rgb_HW3 = np.repeat(grey_HW[:, :, None], 3, axis=2)
    width = max(1, round(LINE_SHARE * max(pixels_HW.shape)))
    for lesion in mammogram.lesions:
        if lesion.outline is None:
            continue
        mask_HW = lesion.outline.rasterise(*pixels_HW.shape).whole(*pixels_HW.shape)
        edge_HW = ndimage.binary_dilation(mask_HW, iterations=width) & ~mask_HW
        rgb_HW3[edge_HW] = COLOURS[lesion.mask_class]
    return rgb_HW3
