"""The shape of a breast in one view: outline, nipple and pectoral muscle, in millimetres.

The chest wall is at x = 0 and the breast points to the right, for both sides; y runs down.
A = angles of the outline's table, seen from a centre behind the chest wall.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from mtlbench.data.phantoms.patient import SIDES, VIEWS, Patient, Side, View, stream

Floats = NDArray[np.float64]

FIELD_MM = 230.4
"""Height of the imaged field: 1152 rows of 0.2 mm."""
_BEHIND_MM = -30.0


@dataclass(frozen=True, slots=True)
class Anatomy:
    """One breast in one view."""

    centre_y: float
    angle_A: Floats
    radius_A: Floats
    nipple: tuple[float, float]
    pectoral: tuple[float, float] | None
    """Width at the top edge and height at the chest wall; None in a CC view."""
    muscle_signal: float
    """Attenuation of the pectoral muscle over that of fat."""
    area_mm2: float
    """Area of the breast within the imaged field."""

    def polar(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Give angle and distance from the centre behind the chest wall."""
        dx, dy = x - _BEHIND_MM, y - self.centre_y
        return np.arctan2(dy, dx), np.hypot(dx, dy)

    def skin_distance(self, x: Floats, y: Floats) -> Floats:
        """Tell about how far a point lies beneath the skin; negative outside."""
        angle, distance = self.polar(x, y)
        slope_A = np.gradient(self.radius_A, self.angle_A) / self.radius_A
        along_A = 1 / np.sqrt(1 + slope_A**2)
        gap = np.interp(angle, self.angle_A, self.radius_A) - distance
        return np.asarray(gap * np.interp(angle, self.angle_A, along_A))

    def muscle_distance(self, x: Floats, y: Floats) -> Floats:
        """Tell how far a point lies within the pectoral muscle; negative outside."""
        if self.pectoral is None:
            return np.full(np.broadcast_shapes(x.shape, y.shape), -np.inf)
        width, height = self.pectoral
        t = y / height
        edge = width * (1 - t) * (1 + 0.35 * t)
        return np.asarray((edge - x) / np.hypot(1, width / height))

    def place(self, depth: float, lateral: float) -> tuple[float, float]:
        """Find the point that lies `depth` (0..1) of the way from nipple to chest wall.

        `lateral` (-1..1) swings it across the breast; it is kept beneath the skin and out of
        the pectoral muscle.
        """
        axis = np.arctan2(self.nipple[1] - self.centre_y, self.nipple[0] - _BEHIND_MM)
        while True:
            angle = axis + 0.75 * lateral
            inside = np.interp(angle, self.angle_A, self.radius_A) + _BEHIND_MM
            reach = -_BEHIND_MM + inside * (1 - depth)
            x = float(_BEHIND_MM + reach * np.cos(angle))
            y = float(self.centre_y + reach * np.sin(angle))
            clear = x > 6 and self.muscle_distance(np.array([x]), np.array([y]))[0] < -6
            if clear or abs(lateral) < 0.05:
                return x, y
            lateral, depth = 0.8 * lateral, 0.9 * depth


def draw_anatomy(seed: int, number: int, patient: Patient, side: Side, view: View) -> Anatomy:
    """Draw the shape of one breast in one view."""
    rng = stream(seed, number, 1, SIDES.index(side), VIEWS.index(view))
    points, nipple, pectoral = (_cc if view == "CC" else _mlo)(rng, patient.size)
    centre_y = nipple[1] if view == "CC" else float(np.clip(nipple[1], 100, 135))
    chord = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    x, y = CubicSpline(chord, points)(np.linspace(0, chord[-1], 400)).T
    angle_A = np.arctan2(y - centre_y, x - _BEHIND_MM)
    radius_A = np.hypot(y - centre_y, x - _BEHIND_MM)
    order = np.argsort(angle_A)
    angle_A, radius_A = angle_A[order], radius_A[order]
    radius_A = radius_A + _skin(rng, angle_A, radius_A, nipple, centre_y)
    muscle_signal = float(rng.normal(1.3, 0.14))
    area = _area(_BEHIND_MM + radius_A * np.cos(angle_A), centre_y + radius_A * np.sin(angle_A))
    return Anatomy(centre_y, angle_A, radius_A, nipple, pectoral, muscle_signal, area)


def _area(x_A: Floats, y_A: Floats) -> float:
    """Area in mm² between outline and chest wall within the imaged field (shoelace formula)."""
    x = np.clip(np.concatenate([[0], x_A, [0]]), 0, None)
    y = np.clip(np.concatenate([[y_A[0]], y_A, [y_A[-1]]]), 0, FIELD_MM)
    return 0.5 * abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))))


def _skin(
    rng: np.random.Generator,
    angle_A: Floats,
    radius_A: Floats,
    nipple: tuple[float, float],
    centre_y: float,
) -> Floats:
    """Draw the nipple and the skin's slight unevenness."""
    axis = np.arctan2(nipple[1] - centre_y, nipple[0] - _BEHIND_MM)
    height, width = max(rng.normal(1.0, 3.0), 0.0), rng.uniform(3.0, 5.0)
    uneven_A = sum(
        rng.normal(0, 1.2 / k) * np.sin(2 * k * angle_A + rng.uniform(0, 2 * np.pi))
        for k in range(2, 9)
    )
    away_A = (angle_A - axis) * radius_A / width
    return np.asarray(uneven_A + height * np.exp(-0.5 * away_A**2), dtype=float)


def _cc(
    rng: np.random.Generator, size: float
) -> tuple[Floats, tuple[float, float], tuple[float, float] | None]:
    """Draw cranio-caudal: a superellipse on the chest wall, a little askew."""
    half, depth = 94 * size * np.exp(rng.normal(0, 0.07)), 92 * size * np.exp(rng.normal(0, 0.10))
    middle, shear, power = 115 + rng.normal(0, 7), rng.normal(0, 0.08), rng.uniform(1.6, 2.1)
    phi = np.linspace(-0.5, 0.5, 13) * np.pi
    x = depth * np.maximum(np.cos(phi), 0) ** (2 / power)
    y = half * np.sign(phi) * np.abs(np.sin(phi)) ** (2 / power)
    flare = half * rng.uniform(1.0, 1.12)
    x = np.concatenate([[-40.0], x, [-40.0]])
    y = np.concatenate([[-flare], y, [flare]])
    points = np.stack([x, middle + y + shear * x], axis=1)
    return points, (float(depth), float(middle + shear * depth)), None


def _mlo(
    rng: np.random.Generator, size: float
) -> tuple[Floats, tuple[float, float], tuple[float, float] | None]:
    """Draw mediolateral oblique: axilla at the top, pectoral muscle behind, fold at the bottom."""
    depth = 92 * size * np.exp(rng.normal(0, 0.10))
    nipple_y, bottom = 128 + rng.normal(0, 9), 128 + 82 * size + rng.normal(0, 5)
    top = depth * rng.uniform(0.5, 0.75)
    rise, sag = depth - top, bottom - nipple_y
    points = np.array(
        [
            (top * 0.95, -45),
            (top, 0),
            (top + rise * rng.uniform(0.28, 0.42), 0.40 * nipple_y),
            (top + rise * 0.85, 0.76 * nipple_y),
            (depth, nipple_y),
            (0.86 * depth, nipple_y + 0.50 * sag),
            (0.48 * depth, nipple_y + 0.86 * sag),
            (0.08 * depth, nipple_y + sag),
            (-40, nipple_y + 1.1 * sag),
        ]
    )
    if rng.random() < 0.4:  # the fold beneath the breast is in the image
        points[-2:] = [(0.12 * depth, nipple_y + 0.98 * sag), (rng.uniform(2, 12), 245)]
    pectoral = (top * rng.uniform(0.4, 0.85), rng.uniform(65, 165))
    return points, (float(depth), float(nipple_y)), (float(pectoral[0]), float(pectoral[1]))
