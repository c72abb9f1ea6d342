"""Power-law noise and small bodies: the brushes that a phantom is painted with.

N = side of a square tile in pixels, P = number of dots.
"""

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mtlbench.data.phantoms.lesions import Dots

Image = NDArray[np.float32]


@lru_cache(maxsize=4)
def _wavenumbers(n: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The order in which a tile's coefficients are drawn, and |k|² of each, both flat.

    Rings of growing max(|kx|, |ky|): a larger tile begins with the coefficients of a smaller one.
    """
    k = np.round(np.fft.fftfreq(n) * n).astype(np.int64)
    ky, kx = (axis.ravel() for axis in np.meshgrid(k, k, indexing="ij"))
    order = np.lexsort((kx, ky, np.maximum(abs(kx), abs(ky))))
    return order, (kx**2 + ky**2).astype(np.float32)


@lru_cache(maxsize=16)
def _scale(beta: float, knee: float) -> float:
    """1 / SD of the field, summed over waves down to 1.8 mm for every tile size alike."""
    _, square = _wavenumbers(128)
    return float(1 / np.sqrt(np.sum((square[square > 0] + knee**2) ** (-beta / 2), dtype=float)))


def power_law_pair(
    rng: np.random.Generator, n: int, beta: float, knee: float
) -> tuple[Image, Image]:
    """Two independent periodic N x N fields of zero mean and unit variance.

    Their power falls as 1 / (k² + knee²)^(beta/2), with k in cycles a tile: a power law
    1/f^beta (Burgess, Jacobson and Judy 2001) that is flat below `knee`.
    """
    order, square = _wavenumbers(n)
    noise = rng.standard_normal(2 * n * n, dtype=np.float32).view(np.complex64)
    spectrum = np.empty(n * n, dtype=np.complex64)
    spectrum[order] = noise
    amplitude = (square + np.float32(knee**2)) ** np.float32(-beta / 4) * _scale(beta, knee)
    amplitude[0] = 0
    field = scipy.fft.ifft2((spectrum * amplitude).reshape(n, n), norm="forward")
    return field.real, field.imag


def add_dots(image_HW: Image, dots: Dots, spacing_mm: float, gain: float) -> None:
    """Add each dot as a cap 1 − (r/R)², in place.

    A dot below the pixel's size is widened and dimmed so that its volume is kept: at a low
    resolution it fades, it does not vanish.
    """
    if dots.x.size == 0:
        return
    height, width = image_HW.shape
    wide = np.sqrt(dots.radius**2 + (1.1 * spacing_mm) ** 2) / spacing_mm
    tall = gain * dots.amplitude * (dots.radius / spacing_mm / wide) ** 2
    column, row = dots.x / spacing_mm - 0.5, dots.y / spacing_mm - 0.5
    reach = int(np.ceil(wide.max()))
    offset = np.arange(-reach, reach + 1)
    rows = np.round(row).astype(int)[:, None, None] + offset[None, :, None]
    columns = np.round(column).astype(int)[:, None, None] + offset[None, None, :]
    square = (rows - row[:, None, None]) ** 2 + (columns - column[:, None, None]) ** 2
    cap = tall[:, None, None] * np.maximum(1 - square / wide[:, None, None] ** 2, 0)
    seen = (cap != 0) & (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    flat = (rows * width + columns)[seen]
    added = np.bincount(flat, cap[seen], minlength=height * width)
    image_HW += added.reshape(height, width).astype(np.float32)
