"""Images and masks at another size: area averages, exact for any ratio of sizes.

h, w = native height and width; H, W = prepared; lower case `f` = the part of H x W that the
image fills.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from mtlbench.data.outlines import Region
from mtlbench.data.pixels import Pixels

LARGE = 400
"""Prepared pixels from which on a lesion's area counts for more than its parts."""
_GOLDEN = 2654435769
"""2^32 over the golden ratio: its multiples are spread evenly (Knuth, TAOCP 6.4)."""
_STRIP = 64
"""Output rows that are averaged at a time: they stay in the processor's cache."""


class Placement(NamedTuple):
    """Where an image of `native` size lies in the prepared one of `size`; both height, width.

    It keeps its aspect ratio, touches the left border (the chest wall), and is centred from top
    to bottom; what it does not fill is 0.
    """

    native: tuple[int, int]
    size: tuple[int, int]
    fitted: tuple[int, int]
    top: int

    @property
    def scale(self) -> float:
        """Prepared pixels per native pixel."""
        return self.fitted[0] / self.native[0]


def place(native: tuple[int, int], size: tuple[int, int]) -> Placement:
    """Fit an image into `size` without cropping; (height, width) each."""
    scale = min(size[0] / native[0], size[1] / native[1])
    height, width = (
        min(max(round(n * scale), 1), limit) for n, limit in zip(native, size, strict=True)
    )
    return Placement(native, size, (height, width), (size[0] - height) // 2)


def resample_image(image_hw: Pixels, placement: Placement) -> Pixels:
    """Average the image over each prepared pixel's area, rounded; same size, same bytes."""
    if placement.native == placement.size:
        return image_hw
    image_HW = np.zeros(placement.size, dtype=image_hw.dtype)
    part_ff = image_HW[placement.top : placement.top + placement.fitted[0], : placement.fitted[1]]
    row_weights, columns = map(_weights, placement.native, placement.fitted)
    for top in range(0, placement.fitted[0], _STRIP):
        rows, strip = _strip(row_weights, top)
        mean_fw = strip @ image_hw[rows].astype(np.float32)
        mean_ff = columns @ np.ascontiguousarray(mean_fw.T)
        mean_ff += np.float32(0.5)
        part_ff[top : top + _STRIP] = mean_ff.T
    return image_HW


def resample_region(region: Region, placement: Placement) -> Region:
    """Keep a lesion's area, and where that is small every part of it.

    A lesion becomes n prepared pixels: n is its area there, but for a lesion of less than
    `LARGE` pixels at least the number of its separate parts, so that no calcification of a
    cluster vanishes. Each part's own pixel comes first, then those that the lesion covers most;
    among equals they are spread out. A compact lesion keeps the pixels that it covers by half or
    more.
    """
    if not region.mask_hw.any():
        return Region(0, 0, np.zeros((0, 0), dtype=bool))
    if placement.native == placement.size:
        return region
    boxes = zip(placement.native, placement.fitted, region.slices, strict=True)
    (top, row_weights), (left, column_weights) = (_covering(*box) for box in boxes)
    share_ff = (column_weights @ (row_weights @ region.mask_hw.astype(np.float32)).T).T
    parts = _parts(region, placement) - (top, left)
    area = int(share_ff.sum(dtype=np.float64) + 0.5)
    own_ff = np.zeros(share_ff.shape, dtype=bool)
    own_ff[parts[:, 0], parts[:, 1]] = True
    touched = np.flatnonzero(share_ff)
    # Rounded, so that shares which are equal on paper are ties on every machine.
    shares = share_ff.flat[touched].round(5)
    spread = (touched * _GOLDEN) % (1 << 32)
    order = np.lexsort((spread, -shares, ~own_ff.flat[touched]))
    kept_ff = np.zeros(share_ff.shape, dtype=bool)
    number = area if area >= LARGE else max(area, int(own_ff.sum()))
    kept_ff.flat[touched[order[:number]]] = True
    return Region(placement.top + top, left, kept_ff)


def _parts(region: Region, placement: Placement) -> NDArray[np.int64]:
    """Give the prepared pixel (row, column) of each connected part: that of its middle pixel."""
    labels, count = ndimage.label(region.mask_hw, np.ones((3, 3), dtype=int))
    where = np.flatnonzero(labels)
    where = where[np.argsort(labels.flat[where], kind="stable")]
    sizes = np.bincount(labels.flat[where], minlength=count + 1)[1:]
    middles = where[np.cumsum(sizes) - sizes + sizes // 2]
    corner, fitted, native = map(
        np.array, ((region.top, region.left), placement.fitted, placement.native)
    )
    places = np.column_stack(np.unravel_index(middles, region.mask_hw.shape)) + corner
    prepared: NDArray[np.int64] = (2 * places + 1) * fitted // (2 * native)
    return prepared


def _covering(n_in: int, n_out: int, box: slice) -> tuple[int, Any]:
    """Weights of the input pixels in `box` for the output pixels they touch; and the first such."""
    first, last = box.start * n_out // n_in, (box.stop * n_out - 1) // n_in
    return first, _weights(n_in, n_out)[first : last + 1, box]


def _strip(weights: Any, top: int) -> tuple[slice, Any]:
    """Input rows of the output rows from `top` on, and their weights."""
    bottom = min(top + _STRIP, weights.shape[0])
    low, high = weights.indptr[top], weights.indptr[bottom]
    indices = weights.indices[low:high]
    rows = slice(int(indices[0]), int(indices[-1]) + 1)
    part = (weights.data[low:high], indices - rows.start, weights.indptr[top : bottom + 1] - low)
    return rows, sparse.csr_array(part, shape=(bottom - top, rows.stop - rows.start))


@lru_cache(maxsize=64)
def _weights(n_in: int, n_out: int) -> Any:
    """Sparse n_out x n_in: the share of each input pixel in each output pixel; rows sum to 1.

    In units of 1 / (n_in n_out) of the side, input pixels begin at the multiples of n_out and
    output pixels at those of n_in: between neighbouring borders lies one piece of each.
    """
    starts = np.union1d(np.arange(n_in) * n_out, np.arange(n_out) * n_in)
    lengths = np.diff(starts, append=n_in * n_out)
    weights = (lengths / n_in).astype(np.float32)
    return sparse.csr_array((weights, (starts // n_in, starts // n_out)), shape=(n_out, n_in))
