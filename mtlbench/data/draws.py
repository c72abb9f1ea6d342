"""What happens to each training image: every random number of the augmentation, drawn on the host.

Each case draws from its own counter-based streams keyed by (seed, epoch, case), so what happens to
a case depends neither on the batch it sits in nor on what was drawn before. Elastic deformation
and noise have streams of their own: switched on, they leave the other draws as they are.
N = cases in the order of use, H W = image size, r c = rows and columns of control points.
"""

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtlbench.config import AugmentConfig

Floats = NDArray[np.float32]
INTERVALS = 5
"""Between control points over the height: about 5 cm of film, more than nearly all lesions measure,
so that a lesion is moved and bent as compressed tissue is, and not torn."""
NOISE_WINDOWS = 2**20
"""Windows of the noise tile: within a hundred epochs hardly a case meets one of its own again."""
_DRAWS = 7
_ELASTIC, _NOISE = 1, 2


class Noise(NamedTuple):
    """An image's noise is a window of a tile; in units of the standardised image."""

    window_N: NDArray[np.int64]
    """Where in the tile it begins."""
    tile_T: Floats


@dataclass(frozen=True, slots=True)
class Draws:
    """Transforms of N cases; None where there is none."""

    gain_N: Floats
    offset_N: Floats
    """Of the standardised image: gain · image + offset."""
    affine_N23: Floats | None = None
    """From output to input coordinates, in units of half the image's sides."""
    control_N2rc: Floats | None = None
    """Displacements (x, y) at the control points, in units of half the image's sides."""
    noise: Noise | None = None


def still(count: int) -> Draws:
    """Cases as they are."""
    return Draws(np.ones(count, np.float32), np.zeros(count, np.float32))


def draw(
    config: AugmentConfig, seed: int, epoch: int, case_N: NDArray[np.int64], size: tuple[int, int]
) -> Draws:
    """Draw the transforms of the given cases in an epoch; `size` is the height and width."""
    draw_ND = uniforms(seed, epoch, case_N, _DRAWS)
    signed_ND = (2 * draw_ND - 1).astype(np.float32)
    moved = config.flip or config.rotate_deg or config.scale or config.shift or config.elastic
    return Draws(
        gain_N=1 + np.float32(config.contrast) * signed_ND[:, 5],
        offset_N=np.float32(config.brightness) * signed_ND[:, 6],
        affine_N23=_affine(draw_ND, config, *size) if moved else None,
        control_N2rc=_controls(config.elastic, seed, epoch, case_N, size),
        noise=_noise(config.noise, seed, epoch, case_N, size),
    )


def uniforms(
    seed: int, epoch: int, case_N: NDArray[np.int64], count: int, stream: int = 0
) -> NDArray[np.float64]:
    """N x count numbers in [0, 1), each a hash of (seed, epoch, stream, case, position).

    SplitMix64 (Steele et al. 2014) over a key made by numpy's SeedSequence.
    """
    key = np.random.SeedSequence([seed, epoch, stream]).generate_state(1, np.uint64)[0]
    with np.errstate(over="ignore"):
        z = key + (case_N[:, None] * count + np.arange(count) + 1).astype(np.uint64) * np.uint64(
            0x9E3779B97F4A7C15
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    fraction_ND: NDArray[np.float64] = (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return fraction_ND


@functools.lru_cache(maxsize=1)
def noise_tile(seed: int, sd: float, length: int) -> Floats:
    """White Gaussian noise of a run; an image's field is a window of it, taken row by row.

    Within an image the values are independent; the fields of two images are parts of one sequence,
    moved against each other by a random number of pixels.
    """
    random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_NOISE,)))
    return random.standard_normal(length, dtype=np.float32) * np.float32(sd)


def spline_basis(length: int, height: int) -> Floats:
    """Weights of a uniform cubic B-spline's control points at pixel centres, length x points.

    The first point is one interval before the border. The weights are positive and sum to 1, so no
    displacement exceeds the largest of its control points.
    """
    points = np.arange(_points(length, height)) - 1
    distance = np.abs((np.arange(length)[:, None] + 0.5) * INTERVALS / height - points)
    near, far = 2 / 3 - distance**2 + distance**3 / 2, (2 - distance).clip(min=0) ** 3 / 6
    basis: Floats = np.where(distance < 1, near, far).astype(np.float32)
    return basis


def _points(length: int, height: int) -> int:
    """Control points along a side: its intervals, rounded up, and three that reach beyond it."""
    return -(-length * INTERVALS // height) + 3


def _controls(
    elastic: float, seed: int, epoch: int, case_N: NDArray[np.int64], size: tuple[int, int]
) -> Floats | None:
    """Free-form deformation (Rueckert et al. 1999), in mm the same on both axes.

    On its own it folds nothing while `elastic` is below 0.48 of the points' distance, that is 0.096
    (Choi & Lee 2000).
    """
    if not elastic:
        return None
    height, width = size
    rows, columns = _points(height, height), _points(width, height)
    draw_ND = uniforms(seed, epoch, case_N, 2 * rows * columns, _ELASTIC)
    shift_N2rc = elastic * (2 * draw_ND - 1).reshape(-1, 2, rows, columns)
    halves_2 = np.array([2 * height / width, 2.0])  # of the width, of the height
    control_N2rc: Floats = (shift_N2rc * halves_2[:, None, None]).astype(np.float32)
    return control_N2rc


def _noise(
    sd: float, seed: int, epoch: int, case_N: NDArray[np.int64], size: tuple[int, int]
) -> Noise | None:
    if not sd:
        return None
    draw_N1 = uniforms(seed, epoch, case_N, 1, _NOISE)
    window_N = (NOISE_WINDOWS * draw_N1[:, 0]).astype(np.int64)
    return Noise(window_N, noise_tile(seed, sd, math.prod(size) + NOISE_WINDOWS - 1))


def _affine(draw_ND: NDArray[np.float64], config: AugmentConfig, height: int, width: int) -> Floats:
    signed_ND = 2 * draw_ND - 1
    flip_N = np.where(config.flip & (draw_ND[:, 0] < 0.5), -1.0, 1.0)
    angle_N = math.radians(config.rotate_deg) * signed_ND[:, 1]
    zoom_N = np.exp(math.log1p(config.scale) * signed_ND[:, 2])
    cos_N, sin_N = zoom_N * np.cos(angle_N), zoom_N * np.sin(angle_N)
    theta_N23 = np.empty((len(draw_ND), 2, 3), dtype=np.float32)
    theta_N23[:, 0, 0] = cos_N
    theta_N23[:, 0, 1] = -sin_N * height / width * flip_N
    theta_N23[:, 1, 0] = sin_N * width / height
    theta_N23[:, 1, 1] = cos_N * flip_N
    theta_N23[:, 0, 2] = 2 * config.shift * signed_ND[:, 3]
    theta_N23[:, 1, 2] = 2 * config.shift * signed_ND[:, 4]
    return theta_N23
