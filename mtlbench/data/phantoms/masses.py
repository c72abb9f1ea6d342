"""Masses: benign ones smooth and well defined, malignant ones spiculated or ill defined.

The outline is a circle with random harmonics, spicules are strands that radiate from it: a cheap
plane relative of the Gaussian random spheres of de Sisternes et al. (2015).
N = points of the outline, K = harmonics.
"""

import numpy as np

from mtlbench.data.phantoms.anatomy import Anatomy
from mtlbench.data.phantoms.brushes import Dots, Floats, stroke
from mtlbench.data.phantoms.difficulty import Difficulty
from mtlbench.data.phantoms.patient import FindingPlan
from mtlbench.data.phantoms.shape import Body, Shape

SHARE = {False: (0.0085, 0.78), True: (0.0116, 0.93)}
"""Area over the breast's area by malignancy: median and SD of the logarithm."""
CONTRAST = {False: (0.57, 0.44), True: (1.15, 0.40)}
"""Peak over the breast's SD by malignancy: median and SD of the logarithm."""
SPICULATED = 0.65
"""Share of malignant masses that are spiculated; the others are ill defined."""

_ANGLE_N = np.linspace(0, 2 * np.pi, 72, endpoint=False)
_STEP_MM = 0.25


def draw_mass(
    rng: np.random.Generator,
    plan: FindingPlan,
    x: float,
    y: float,
    anatomy: Anatomy,
    gains: Difficulty,
) -> Shape:
    """Draw one mass about (x, y) in mm."""
    median, spread = SHARE[plan.malignant]
    share = np.clip(median * np.exp(spread * plan.extent + rng.normal(0, 0.1)), 0.0015, 0.08)
    radius = float(np.sqrt(share * anatomy.area_mm2 / np.pi)) * gains.mass_size
    skin = float(anatomy.skin_distance(np.array([x]), np.array([y]))[0])
    radius = min(radius, max(skin, 5.0))  # a mass does not reach out of the breast
    radius_N = radius * _outline(rng, plan.malignant)
    outline_N2 = (x, y) + radius_N[:, None] * np.stack([np.cos(_ANGLE_N), np.sin(_ANGLE_N)], axis=1)
    median, spread = CONTRAST[plan.malignant]
    peak = gains.mass_contrast * median * np.exp(spread * plan.contrast + rng.normal(0, 0.15))
    if not plan.malignant:
        body = Body(float(peak), rng.uniform(0.4, 1.2), 0.35)
        return Shape(plan, x, y, outline_N2, None, body)
    spiculated = rng.random() < SPICULATED
    margin = radius * gains.blur * (0.45 if spiculated else 0.65)
    strength = float(peak) * gains.spicules * (1.0 if spiculated else 0.3)
    spicules = _spicules(rng, x, y, radius_N, strength, gains.spicules)
    return Shape(plan, x, y, outline_N2, spicules, Body(float(peak), margin, 0.45))


def _outline(rng: np.random.Generator, malignant: bool) -> Floats:
    """Draw an outline's radius over its mean: an oval with random harmonics, its area kept."""
    order_K = np.arange(3, 12)
    roughness, decay = rng.uniform(0.03, 0.18 if malignant else 0.21), 0.9 if malignant else 1.2
    size_K = rng.normal(0, roughness, order_K.size) * (3 / order_K) ** decay
    phase_K = rng.uniform(0, 2 * np.pi, order_K.size)
    wave_N = size_K @ np.cos(order_K[:, None] * _ANGLE_N + phase_K[:, None])
    stretch, tilt = rng.uniform(1.0, 1.7 if malignant else 1.9), rng.uniform(0, np.pi)
    oval_N = np.hypot(np.cos(_ANGLE_N - tilt), stretch * np.sin(_ANGLE_N - tilt))
    radius_N = np.exp(wave_N) / oval_N
    return np.asarray(radius_N / np.sqrt(np.mean(radius_N**2)))


def _spicules(
    rng: np.random.Generator, x: float, y: float, radius_N: Floats, peak: float, gain: float
) -> Dots:
    """Draw strands that leave the mass, bend, taper and end well outside its outline."""
    strokes = []
    for angle in rng.uniform(0, 2 * np.pi, int(rng.integers(16, 34))):
        start = 0.5 * float(np.interp(angle, _ANGLE_N, radius_N, period=2 * np.pi))
        length = float(radius_N.mean()) * rng.uniform(0.8, 2.0) * gain**0.25
        t = np.arange(0, 1, _STEP_MM / length)
        reach, bent = start + length * t, angle + rng.normal(0, 0.3) * t**2
        width = rng.uniform(0.4, 0.9) * gain**0.5 * (1 - 0.6 * t)
        fade = rng.uniform(0.08, 0.4) * peak * np.minimum(1, 4 * t) * (1 - t)
        path = x + reach * np.cos(bent), y + reach * np.sin(bent)
        strokes.append(np.stack(stroke(*path, width, fade, _STEP_MM)))
    return Dots(*np.concatenate(strokes, axis=1))
