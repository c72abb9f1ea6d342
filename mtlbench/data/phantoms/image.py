"""The image model: from one patient's view to grey levels. `docs/phantoms.md` explains it.

H, W = the image's height and width. Everything is painted in millimetres.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from mtlbench.data.mammogram import Lesion
from mtlbench.data.outlines import Polygon
from mtlbench.data.phantoms.anatomy import FIELD_MM, Anatomy, Floats, draw_anatomy
from mtlbench.data.phantoms.brushes import Image, add_dots
from mtlbench.data.phantoms.difficulty import DIFFICULTIES
from mtlbench.data.phantoms.lesions import draw_shapes
from mtlbench.data.phantoms.patient import SIDES, VIEWS, Patient, Side, View, draw_patient, stream
from mtlbench.data.phantoms.shape import Body, Shape
from mtlbench.data.phantoms.tissue import draw_tissue

FILMS = {"film A": (2.7, 1.06, 0.9), "film B": (2.4, 1.02, 1.2)}
"""Slope and middle of the film's curve, and grain in grey levels at 0.2 mm, by scanner."""


def draw_lesions(
    seed: int,
    number: int,
    patient: Patient,
    side: Side,
    view: View,
    size: tuple[int, int],
    difficulty: str,
) -> tuple[Lesion, ...]:
    """Draw the lesions of one view with their outlines in pixels; no image is rendered."""
    if not patient.of(side):
        return ()
    anatomy = draw_anatomy(seed, number, patient, side, view)
    shapes = draw_shapes(seed, number, patient, anatomy, side, view, DIFFICULTIES[difficulty])
    return tuple(_lesion(shape, FIELD_MM / size[0]) for shape in shapes)


def _lesion(shape: Shape, spacing_mm: float) -> Lesion:
    points = shape.outline_N2 / spacing_mm - 0.5
    outline = Polygon(tuple((x, y) for x, y in points.tolist()))
    return Lesion(shape.plan.type, "malignant" if shape.plan.malignant else "benign", outline)


def render(
    seed: int, number: int, side: Side, view: View, size: tuple[int, int], difficulty: str
) -> NDArray[np.uint8]:
    """Draw one view of one breast as uint8 HW, chest wall to the left."""
    gains, patient = DIFFICULTIES[difficulty], draw_patient(seed, number)
    anatomy = draw_anatomy(seed, number, patient, side, view)
    spacing = FIELD_MM / size[0]
    y_H, x_W = ((np.arange(float(n)) + 0.5) * spacing for n in size)
    rng = stream(seed, number, 3, SIDES.index(side), VIEWS.index(view))
    signal = draw_tissue(rng, patient, anatomy, x_W, y_H, gains.texture)
    thickness = _thickness(anatomy, x_W, y_H)
    spread = float((signal * thickness)[thickness > 0].std())
    for shape in draw_shapes(seed, number, patient, anatomy, side, view, gains):
        if shape.body is not None:
            _add_body(signal, shape, shape.body, x_W, y_H, spread)
        if shape.dots is not None:
            add_dots(signal, shape.dots, spacing, spread)
    return _film(rng, signal * thickness, patient, spacing)


def _thickness(anatomy: Anatomy, x_W: Floats, y_H: Floats) -> Image:
    """Give the compressed thickness over its maximum; the edge is rounded over 22 mm."""
    depth = np.clip(anatomy.skin_distance(x_W, y_H[:, None]) / 22, 0, 1)
    return np.asarray(1 - (1 - depth) ** 2.6, dtype=np.float32)


def _add_body(
    signal: Image, shape: Shape, body: Body, x_W: Floats, y_H: Floats, gain: float
) -> None:
    """Add a mass's body, in place."""
    out_N2 = shape.outline_N2 - (shape.x, shape.y)
    angle_N, radius_N = np.arctan2(out_N2[:, 1], out_N2[:, 0]), np.hypot(*out_N2.T)
    reach = radius_N.max() + 4 * body.margin_mm
    rows = slice(*np.searchsorted(y_H, (shape.y - reach, shape.y + reach)))
    columns = slice(*np.searchsorted(x_W, (shape.x - reach, shape.x + reach)))
    dx, dy = x_W[columns] - shape.x, y_H[rows, None] - shape.y
    distance = np.hypot(dx, dy)
    edge = np.interp(np.arctan2(dy, dx), angle_N, radius_N, period=2 * np.pi)
    fade = expit((edge - distance) / (0.5 * body.margin_mm))
    dome = 1 - body.dome * np.minimum(distance / edge, 1) ** 2
    signal[rows, columns] += (gain * body.amplitude * fade * dome).astype(np.float32)


def _film(
    rng: np.random.Generator, signal: Image, patient: Patient, spacing_mm: float
) -> NDArray[np.uint8]:
    """Turn attenuation into grey levels: the film's sigmoid, an exposure of its own, and grain."""
    slope, middle, grain = FILMS[patient.scanner]
    dark = middle + rng.normal(0, 0.13)
    grey = 255 * (expit(slope * (signal - dark)) - expit(-slope * dark)) + 2
    noise = rng.standard_normal(signal.shape, dtype=np.float32) * (grain * 0.2 / spacing_mm)
    return np.clip(np.rint(grey + noise), 0, 255).astype(np.uint8)
