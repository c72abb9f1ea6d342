"""Where the breast is: the part of a mammogram that is neither air nor label nor film's edge.

H, W = height and width in pixels; the chest wall is at the left border.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mtlbench.data.outlines import Mask
from mtlbench.data.pixels import Pixels
from mtlbench.data.resize import place, resample_image

_SIDE = 256
"""Longer side of the image in which the breast is looked for."""
_MARGIN = 0.02
"""Air that is left around a breast, as a share of the image's longer side."""
_EDGE = 0.05
"""Share of a side within which a bright line is taken for the film's edge."""
_FULL = 0.9
"""Share of a line that is bright from end to end."""
_BINS = 256


class BreastBox(NamedTuple):
    """A window of the image, in pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        rows = slice(self.top, self.top + self.height)
        return rows, slice(self.left, self.left + self.width)


def whole_box(image_HW: Pixels) -> BreastBox:
    """Give the box of the whole image."""
    return BreastBox(0, 0, *image_HW.shape)


def breast_box(image_HW: Pixels) -> BreastBox:
    """Give the smallest box around the breast, with a margin; the chest wall's border stays."""
    mask_HW = breast_mask(image_HW)
    rows, columns = (np.flatnonzero(mask_HW.any(axis=axis)) for axis in (1, 0))
    margin = round(_MARGIN * max(image_HW.shape))
    top = max(int(rows[0]) - margin, 0)
    bottom = min(int(rows[-1]) + 1 + margin, image_HW.shape[0])
    left = max(int(columns[0]) - margin, 0)
    right = min(int(columns[-1]) + 1 + margin, image_HW.shape[1])
    return BreastBox(top, left, bottom - top, right - left)


def breast_mask(image_HW: Pixels) -> Mask:
    """Give the breast's pixels, bool HW: the largest bright body that no edge or label is.

    The image is looked at in small. Brighter than air is what exceeds half of Otsu's threshold
    (1979) above the darkest class's mean; thin bridges to labels are opened; of the bodies left
    the largest is the breast. Where nothing is found the whole image is.
    """
    longer = max(image_HW.shape)
    size = tuple(max(1, round(n * min(1, _SIDE / longer))) for n in image_HW.shape)
    small = resample_image(image_HW, place(image_HW.shape, (size[0], size[1])))
    bright = ndimage.gaussian_filter(small.astype(np.float32), 1) > _threshold(small)
    _clear_edges(bright)
    opened = ndimage.binary_opening(bright, iterations=2)
    bodies, count = ndimage.label(opened)
    if not count:
        return np.ones(image_HW.shape, dtype=bool)
    sizes = np.bincount(bodies.ravel())[1:]
    body = ndimage.binary_fill_holes(bodies == 1 + int(sizes.argmax()))
    # What opening took from the rim comes back, and half a pixel of skin.
    body = ndimage.binary_dilation(body, iterations=3) & ndimage.binary_dilation(bright)
    rows, columns = (
        np.minimum(np.arange(n) * s // n, s - 1)
        for n, s in zip(image_HW.shape, body.shape, strict=True)
    )
    return np.asarray(body[rows[:, None], columns])


def _threshold(small: Pixels) -> float:
    """Otsu's threshold (1979), halved towards the mean of the darker class."""
    counts, edges = np.histogram(small, bins=_BINS)
    levels = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * levels)
    with np.errstate(divide="ignore", invalid="ignore"):
        dark, light = sums / below, (sums[-1] - sums) / above
        between = np.nan_to_num(below * above * (dark - light) ** 2)
    best = int(between.argmax())
    return float((dark[best] + edges[best + 1]) / 2)


def _clear_edges(bright: NDArray[np.bool_]) -> None:
    """Clear lines along a border that are bright nearly from end to end: the film's edges.

    Where such lines go on for more than `_EDGE` of the side they are the breast itself.
    """
    for lines in (bright, bright[::-1], bright.T, bright.T[::-1]):
        limit = max(1, round(_EDGE * len(lines)))
        dark = np.flatnonzero(lines[: limit + 1].mean(axis=1) < _FULL)
        lines[: int(dark[0]) if dark.size else 0] = False
