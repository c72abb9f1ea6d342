"""Images and masks at another size: area averages, exact for any ratio of sizes.

h, w = native height and width; H, W = prepared; lower case `f` = the part of H x W that the
image fills.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mtlbench.data.mammogram import Mask
from mtlbench.data.pixels import Pixels


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
    mean_ff = _average(image_hw.astype(np.float32), placement, slice(None), slice(None))
    _fitted(image_HW, placement)[...] = np.floor(mean_ff + 0.5)
    return image_HW


def resample_mask(mask_hw: Mask, placement: Placement) -> Mask:
    """Keep a lesion's area: the n prepared pixels it covers most, n = its area there, at least 1.

    For a compact lesion these are the pixels that it covers by half or more; a speck smaller
    than a pixel keeps its best one. Equal shares are taken from the top left on.
    """
    if placement.native == placement.size:
        return mask_hw
    mask_HW = np.zeros(placement.size, dtype=bool)
    rows, columns = np.flatnonzero(mask_hw.any(axis=1)), np.flatnonzero(mask_hw.any(axis=0))
    if not rows.size:
        return mask_HW
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    share_ff = _average(mask_hw[box].astype(np.float32), placement, *box)
    touched = np.flatnonzero(share_ff)
    # Rounded, so that shares which are equal on paper are ties on every machine.
    order = np.argsort(-share_ff.flat[touched].round(5), kind="stable")
    area = max(1, int(share_ff.sum(dtype=np.float64) + 0.5))
    kept_ff = np.zeros(placement.fitted, dtype=bool)
    kept_ff.flat[touched[order[:area]]] = True
    _fitted(mask_HW, placement)[...] = kept_ff
    return mask_HW


def _fitted(array_HW: NDArray[Any], placement: Placement) -> NDArray[Any]:
    height, width = placement.fitted
    return array_HW[placement.top : placement.top + height, :width]


def _average(
    part_hw: NDArray[np.float32], placement: Placement, rows: slice, columns: slice
) -> NDArray[np.float32]:
    """Mean over each prepared pixel's area of an image that is 0 outside rows and columns."""
    row_weights = _weights(placement.native[0], placement.fitted[0])[:, rows]
    column_weights = _weights(placement.native[1], placement.fitted[1])[:, columns]
    mean_ff: NDArray[np.float32] = (column_weights @ (row_weights @ part_hw).T).T
    return mean_ff


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
