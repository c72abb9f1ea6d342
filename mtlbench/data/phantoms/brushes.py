"""Power-law noise and small bodies: the brushes that a phantom is painted with.

H, W = the image's height and width, N = side of a square tile in pixels, P = number of dots.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

Floats = NDArray[np.float64]
Image = NDArray[np.float32]

_WIDEN = 1.1
"""Width in pixels of the blur that a dot below the pixel's size gets."""


@dataclass(frozen=True, slots=True)
class Dots:
    """Small round bodies: place and radius in mm, and peak."""

    x_P: Floats
    y_P: Floats
    radius_P: Floats
    peak_P: Floats


@lru_cache(maxsize=4)
def _wavenumbers(n: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Give the order in which a tile's waves are drawn, and |k|² of each, both flat.

    Rings of growing max(|kx|, |ky|): a larger tile begins with the coefficients of a smaller one.
    """
    k = np.round(np.fft.fftfreq(n) * n).astype(np.int64)
    ky, kx = (axis.ravel() for axis in np.meshgrid(k, k, indexing="ij"))
    order = np.lexsort((kx, ky, np.maximum(abs(kx), abs(ky))))
    return order, (kx**2 + ky**2).astype(np.float32)


@lru_cache(maxsize=16)
def _inverse_sd(beta: float, knee: float) -> float:
    """Compute 1 / SD of a field, summed over 128 x 128 waves whatever the tile's size."""
    _, square = _wavenumbers(128)
    return float(1 / np.sqrt(np.sum((square[square > 0] + knee**2) ** (-beta / 2), dtype=float)))


def power_law_pair(
    rng: np.random.Generator, n: int, beta: float, knee: float, finest: int | None = None
) -> tuple[Image, Image]:
    """Draw two independent periodic N x N fields of zero mean and about unit variance.

    Their power falls as 1 / (k² + knee²)^(beta / 2), k in cycles a tile: the power law 1 / f^beta
    of mammograms (Burgess, Jacobson and Judy 2001), flat below `knee`, each pixel averaged over
    its area. The same random stream gives the same waves at every N. `finest` is the largest
    |kx|, |ky| drawn: smooth fields need few.
    """
    order, square = _wavenumbers(n)
    if finest is not None:
        order = order[: (2 * finest + 1) ** 2]
    spectrum = np.zeros(n * n, dtype=np.complex64)
    noise = rng.standard_normal(2 * order.size, dtype=np.float32).view(np.complex64)
    amplitude = (square[order] + np.float32(knee**2)) ** np.float32(-beta / 4)
    spectrum[order] = noise * amplitude * np.float32(_inverse_sd(beta, knee))
    spectrum[0] = 0
    aperture = np.sinc(np.fft.fftfreq(n)).astype(np.float32)
    waves = spectrum.reshape(n, n) * aperture * aperture[:, None]
    field = scipy.fft.ifft2(waves, norm="forward")
    return field.real, field.imag


def sample(tile: Image, place: NDArray[np.float32]) -> Image:
    """Read a periodic tile at the (row, column) places of a 2 x H x W array."""
    image: Image = map_coordinates(tile, place, order=1, mode="grid-wrap", output=np.float32)
    return image


def threads(field_HW: Image, spacing_mm: float, step: float, width_mm: float) -> Image:
    """Draw strands of one width along the level lines of a smooth field, `step` apart in value.

    The distance to a level line is the difference in value over the slope. A strand below the
    pixel's size is widened and dimmed alike.
    """
    slope = np.hypot(*np.gradient(field_HW)) / spacing_mm
    away_mm = np.abs((field_HW / step) % 1 - 0.5) * step / (slope + 0.003)
    wide = np.hypot(width_mm, 0.6 * spacing_mm)
    return np.asarray(np.exp(-((away_mm / wide) ** 2)) * width_mm / wide, dtype=np.float32)


def stroke(
    x: Floats, y: Floats, radius: Floats, peak: Floats, step_mm: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Lay dots `step_mm` apart that overlap to a line of height `peak` (caps sum to 4/3 R/step)."""
    return x, y, radius, peak * step_mm / (4 / 3 * radius)


def add_dots(image_HW: Image, dots: Dots, spacing_mm: float, gain: float = 1.0) -> None:
    """Add each dot as a cap 1 − (r/R)², in place.

    A dot below the pixel's size is widened and dimmed so that its volume is kept: at a low
    resolution it fades, it does not vanish.
    """
    height, width = image_HW.shape
    radius_P = dots.radius_P / spacing_mm
    wide_P = np.hypot(radius_P, _WIDEN)
    tall_P = gain * dots.peak_P * (radius_P / wide_P) ** 2
    column_P, row_P = dots.x_P / spacing_mm - 0.5, dots.y_P / spacing_mm - 0.5
    offset = np.arange(-np.ceil(wide_P.max()), np.ceil(wide_P.max()) + 1).astype(int)
    rows = np.rint(row_P).astype(int)[:, None, None] + offset[None, :, None]
    columns = np.rint(column_P).astype(int)[:, None, None] + offset[None, None, :]
    square = (rows - row_P[:, None, None]) ** 2 + (columns - column_P[:, None, None]) ** 2
    cap = tall_P[:, None, None] * np.maximum(1 - square / wide_P[:, None, None] ** 2, 0)
    seen = (cap != 0) & (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    flat = (rows * width + columns)[seen]
    added = np.bincount(flat, cap[seen], minlength=height * width)
    image_HW += added.reshape(height, width).astype(np.float32)
