"""Shapes of lesions in millimetres, drawn from their own random streams.

Indexing draws only these, rendering draws the same ones: masks are exact.
N = points of an outline, S = points of the spicules, G = grains of calcium.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from mtlbench.data.phantoms.anatomy import Anatomy
from mtlbench.data.phantoms.brushes import Dots, stroke
from mtlbench.data.phantoms.difficulty import Difficulty
from mtlbench.data.phantoms.patient import SIDES, VIEWS, FindingPlan, Patient, Side, View, stream

Floats = NDArray[np.float64]

MASS_SHARE = {False: (0.0085, 0.78), True: (0.0116, 0.93)}
"""Mass area over breast area by malignancy: median and SD of the logarithm."""
MASS_CONTRAST = {False: (0.49, 0.42), True: (0.68, 0.42)}
"""Mass amplitude over the breast's SD by malignancy: median and SD of the logarithm."""
CLUSTER_RADIUS = (3.6, 0.6)
"""Radius of a region of calcifications in mm: median and SD of the logarithm."""
_OUTLINE = np.linspace(0, 2 * np.pi, 72, endpoint=False)


@dataclass(frozen=True, slots=True)
class Shape:
    """One lesion in one view."""

    plan: FindingPlan
    x: float
    y: float
    outline_N2: Floats
    """The drawn outline, (x, y) in mm."""
    amplitude: float
    """Peak of a mass in units of the breast's SD; 0 for calcifications."""
    margin_mm: float
    """Width over which a mass fades into the tissue."""
    dots: Dots
    """Spicules of a mass or grains of calcium; amplitudes in units of the breast's SD."""


def draw_shapes(
    seed: int,
    number: int,
    patient: Patient,
    anatomy: Anatomy,
    side: Side,
    view: View,
    difficulty: Difficulty,
) -> list[Shape]:
    """Draw the lesions of one view of one breast."""
    shapes = []
    for plan in patient.of(side):
        rng = stream(seed, number, 2, SIDES.index(side), VIEWS.index(view), plan.number)
        x, y = anatomy.place(plan.depth, plan.lateral[view])
        if plan.type == "mass":
            shapes.append(_mass(rng, plan, x, y, anatomy.area_mm2, difficulty))
        else:
            shapes.append(_calcifications(rng, plan, x, y, anatomy, difficulty))
    return shapes


def _mass(
    rng: np.random.Generator,
    plan: FindingPlan,
    x: float,
    y: float,
    breast_mm2: float,
    difficulty: Difficulty,
) -> Shape:
    median, spread = MASS_SHARE[plan.malignant]
    share = np.clip(median * np.exp(spread * plan.extent + rng.normal(0, 0.1)), 0.0015, 0.08)
    radius = float(np.sqrt(share * breast_mm2 / np.pi)) * difficulty.mass_size
    radius_N = radius * _lobes(rng, plan.malignant)
    median, spread = MASS_CONTRAST[plan.malignant]
    amplitude = float(median * np.exp(spread * plan.contrast + rng.normal(0, 0.15)))
    amplitude *= difficulty.mass_contrast
    outline_N2 = np.stack(
        [x + radius_N * np.cos(_OUTLINE), y + radius_N * np.sin(_OUTLINE)], axis=1
    )
    if not plan.malignant:
        return Shape(plan, x, y, outline_N2, amplitude, rng.uniform(0.3, 0.7), _no_dots())
    spiculated = rng.random() < 0.65
    margin = radius * (0.15 if spiculated else 0.32 * difficulty.blur)
    dots = _spicules(rng, x, y, radius_N, amplitude, 1.0 if spiculated else 0.35, difficulty)
    return Shape(plan, x, y, outline_N2, amplitude, margin, dots)


def _lobes(rng: np.random.Generator, malignant: bool) -> Floats:
    """Draw an outline's radius over its mean: random harmonics of a circle, its area kept."""
    orders = np.arange(2, 10)
    roughness = rng.uniform(0.09, 0.37 if malignant else 0.34)
    decay = 1.2 if malignant else 1.3
    size_K = rng.normal(0, roughness, orders.size) * (2.0 / orders) ** decay
    phase_K = rng.uniform(0, 2 * np.pi, orders.size)
    log_N = size_K @ np.cos(orders[:, None] * _OUTLINE + phase_K[:, None])
    radius_N = np.exp(log_N)
    return np.asarray(radius_N / np.sqrt(np.mean(radius_N**2)))


def _spicules(
    rng: np.random.Generator,
    x: float,
    y: float,
    radius_N: Floats,
    amplitude: float,
    strength: float,
    difficulty: Difficulty,
) -> Dots:
    """Draw thin strands that start inside the mass, bend, taper and end well outside its outline."""
    count, step = int(rng.integers(14, 30)), 0.25
    radius = float(radius_N.mean())
    dots: list[Floats] = []
    for angle in rng.uniform(0, 2 * np.pi, count):
        start = 0.6 * float(np.interp(angle, _OUTLINE, radius_N, period=2 * np.pi))
        length = radius * rng.uniform(0.6, 1.6) * difficulty.spicules**0.5
        t = np.arange(0, 1, step / length)
        bent = angle + rng.normal(0, 0.25) * t**2
        width = rng.uniform(0.3, 0.6) * (1 - 0.6 * t) * difficulty.spicules**0.5
        bright = strength * amplitude * rng.uniform(0.3, 0.8) * (1 - t) * difficulty.spicules
        reach = start + length * t
        path = x + reach * np.cos(bent), y + reach * np.sin(bent)
        dots.append(np.stack(stroke(*path, width, bright, step)))
    return Dots(*np.concatenate(dots, axis=1))


def _calcifications(
    rng: np.random.Generator,
    plan: FindingPlan,
    x: float,
    y: float,
    anatomy: Anatomy,
    difficulty: Difficulty,
) -> Shape:
    median, spread = CLUSTER_RADIUS
    radius = (
        float(np.clip(median * np.exp(spread * plan.extent), 1.2, 16)) * difficulty.cluster_size
    )
    towards = np.arctan2(anatomy.nipple[1] - y, anatomy.nipple[0] - x)
    grains = (_branching if plan.malignant else _scattered)(rng, radius, float(towards))
    contrast = 5.0 * np.exp(0.3 * plan.contrast) * difficulty.grain_contrast
    dots = Dots(x + grains[0], y + grains[1], grains[2], contrast * grains[3])
    ring = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    margin = 0.8 + grains[2]
    around = np.stack(
        [
            (dots.x_P[:, None] + margin[:, None] * np.cos(ring)).ravel(),
            (dots.y_P[:, None] + margin[:, None] * np.sin(ring)).ravel(),
        ],
        axis=1,
    )
    outline_N2 = around[ConvexHull(around).vertices]
    return Shape(plan, x, y, outline_N2, 0.0, 0.0, dots)


def _scattered(rng: np.random.Generator, radius: float, towards: float) -> Floats:
    """Draw benign ones: few round grains of one size, spread over the region; rows x, y, radius, height."""
    count = int(rng.integers(4, 12))
    angle, reach = rng.uniform(0, 2 * np.pi, count), radius * np.sqrt(rng.uniform(0, 1, count))
    size = rng.uniform(0.25, 0.6) * np.exp(rng.normal(0, 0.12, count))
    return np.stack([reach * np.cos(angle), reach * np.sin(angle), size, np.ones(count)])


def _branching(rng: np.random.Generator, radius: float, towards: float) -> Floats:
    """Draw malignant ones: many small grains of all shapes, in part along a duct that branches."""
    count = int(rng.integers(10, 32))
    along, lean = rng.uniform(-1, 1, count), rng.uniform(0.2, 1.0)
    branch = np.where(along > 0, rng.choice([-0.5, 0.5], count), 0.0)
    angle = towards + branch * lean
    across = rng.normal(0, 0.25 + 0.2 * lean, count)
    x = radius * (along * np.cos(angle) - across * np.sin(angle))
    y = radius * (along * np.sin(angle) + across * np.cos(angle))
    size, height = rng.uniform(0.08, 0.32, count), rng.uniform(0.4, 1.2, count)
    parts = rng.integers(1, 5, count)  # a grain is a short crooked chain of bodies
    heading = np.repeat(angle + rng.normal(0, 0.5, count), parts)
    place = np.concatenate([np.arange(n) for n in parts]) * np.repeat(size, parts)
    thin = np.repeat(size, parts) * rng.uniform(0.6, 1.1, parts.sum())
    heading = heading + rng.normal(0, 0.4, parts.sum())
    return np.stack(
        [
            np.repeat(x, parts) + place * np.cos(heading),
            np.repeat(y, parts) + place * np.sin(heading),
            thin,
            np.repeat(height, parts),
        ]
    )


def _no_dots() -> Dots:
    return Dots(*np.zeros((4, 0)))
