"""Calcifications: benign grains few, round and apart; malignant ones many, small and branching.

P = grains, or the bodies that make them up.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from mtlbench.data.phantoms.brushes import Dots, Floats
from mtlbench.data.phantoms.difficulty import Difficulty
from mtlbench.data.phantoms.patient import FindingPlan
from mtlbench.data.phantoms.shape import Shape

REGION_MM = (3.7, 0.6)
"""Radius of the region the grains lie in: median and SD of the logarithm."""
PEAK = 1.1
"""Median peak of a grain in units of the breast's SD."""
HULL_MM = 0.8
"""How far outside the grains radiologists draw the region's outline."""


def draw_calcifications(
    rng: np.random.Generator,
    plan: FindingPlan,
    x: float,
    y: float,
    nipple: tuple[float, float],
    gains: Difficulty,
) -> Shape:
    """Draw one region of calcifications about (x, y) in mm."""
    median, spread = REGION_MM
    radius = gains.cluster_size * float(np.clip(median * np.exp(spread * plan.extent), 1.4, 16))
    towards = float(np.arctan2(nipple[1] - y, nipple[0] - x))
    dots = _branching(rng, radius, towards) if plan.malignant else _scattered(rng, radius)
    peak = PEAK * gains.grain_contrast * float(np.exp(0.3 * plan.contrast))
    dots = Dots(x + dots.x_P, y + dots.y_P, dots.radius_P, peak * dots.peak_P)
    return Shape(plan, x, y, _hull(dots), dots, None)


def _hull(dots: Dots) -> Floats:
    """Give the convex outline (N, 2) about all grains, drawn a little outside them."""
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    margin = HULL_MM + dots.radius_P[:, None]
    rim = np.stack(
        [dots.x_P[:, None] + margin * np.cos(angle), dots.y_P[:, None] + margin * np.sin(angle)],
        axis=-1,
    ).reshape(-1, 2)
    return np.asarray(rim[ConvexHull(rim).vertices])


def _scattered(rng: np.random.Generator, radius: float) -> Dots:
    """Draw benign grains: few, round, of one size, apart from each other (a jittered sunflower)."""
    count = int(rng.integers(4, 12))
    index_P = np.arange(count)
    reach_P = radius * np.sqrt((index_P + rng.uniform(0.1, 0.9, count)) / count)
    angle_P = 2.4 * index_P + rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.4, count)
    size_P = min(rng.uniform(0.22, 0.5), 0.13 * radius) * np.exp(rng.normal(0, 0.1, count))
    return Dots(reach_P * np.cos(angle_P), reach_P * np.sin(angle_P), size_P, np.ones(count))


def _branching(rng: np.random.Generator, radius: float, towards: float) -> Dots:
    """Draw malignant grains: many, of all shapes, about a duct that forks on its way."""
    count, fork = int(rng.integers(10, 32)), rng.uniform(0.2, 0.9)
    along_P = rng.uniform(-1, 1, count)
    angle_P = towards + np.where(along_P > 0, rng.choice([-fork, fork], count), 0.0)
    across_P = rng.normal(0, 0.15 + 0.25 * rng.random(), count)
    x_P = radius * (along_P * np.cos(angle_P) - across_P * np.sin(angle_P))
    y_P = radius * (along_P * np.sin(angle_P) + across_P * np.cos(angle_P))
    size_P, peak_P = rng.uniform(0.07, 0.22, count), rng.uniform(0.3, 1.1, count)
    return _pleomorphic(rng, Dots(x_P, y_P, size_P, peak_P), angle_P)


def _pleomorphic(rng: np.random.Generator, grains: Dots, heading_P: Floats) -> Dots:
    """Make each grain a short crooked chain of one to four bodies."""
    parts: NDArray[np.int64] = rng.integers(1, 5, heading_P.size)
    total = int(parts.sum())
    size = np.repeat(grains.radius_P, parts)
    heading = np.repeat(heading_P + rng.normal(0, 0.6, parts.size), parts)
    heading = heading + rng.normal(0, 0.4, total)
    place = 1.2 * size * np.concatenate([np.arange(n) for n in parts])
    return Dots(
        np.repeat(grains.x_P, parts) + place * np.cos(heading),
        np.repeat(grains.y_P, parts) + place * np.sin(heading),
        size * rng.uniform(0.6, 1.1, total),
        np.repeat(grains.peak_P, parts),
    )
