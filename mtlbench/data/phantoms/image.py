"""The image model: from one patient's view to grey levels. `docs/phantoms.md` explains it.

H, W = the image's height and width. Everything is painted in millimetres.
"""

import numpy as np
from scipy.ndimage import map_coordinates

from mtlbench.data.mammogram import Lesion, Polygon
from mtlbench.data.phantoms.anatomy import FIELD_MM, Anatomy, Floats, draw_anatomy
from mtlbench.data.phantoms.difficulty import DIFFICULTIES, Difficulty
from mtlbench.data.phantoms.lesions import Dots, Shape, draw_shapes
from mtlbench.data.phantoms.patient import SIDES, VIEWS, Patient, Side, View, draw_patient, stream
from mtlbench.data.phantoms.tissue import Image, add_dots, power_law_pair

GLAND_BIAS = {1: -1.9, 2: -0.9, 3: 0.2, 4: 1.3}
"""How readily tissue is glandular, by ACR density."""


def view_lesions(
    seed: int,
    number: int,
    patient: Patient,
    side: Side,
    view: View,
    size: tuple[int, int],
    difficulty: str,
) -> tuple[Lesion, ...]:
    """The lesions of one view with their outlines in pixels; no image is drawn."""
    if not patient.of(side):
        return ()
    anatomy = draw_anatomy(seed, number, patient, side, view)
    gains = DIFFICULTIES[difficulty]
    shapes = draw_shapes(seed, number, patient, anatomy, side, view, gains)
    return tuple(_lesion(shape, FIELD_MM / size[0]) for shape in shapes)


def _lesion(shape: Shape, spacing_mm: float) -> Lesion:
    points = shape.outline_N2 / spacing_mm - 0.5
    pathology = "malignant" if shape.plan.malignant else "benign"
    return Lesion(shape.plan.type, pathology, Polygon(tuple(map(tuple, points.tolist()))))


def render(
    seed: int, number: int, side: Side, view: View, size: tuple[int, int], difficulty: str
) -> np.ndarray:
    """Draw one view of one breast as uint8 HW, chest wall to the left."""
    gains = DIFFICULTIES[difficulty]
    patient = draw_patient(seed, number)
    anatomy = draw_anatomy(seed, number, patient, side, view)
    spacing = FIELD_MM / size[0]
    y, x = np.ogrid[: size[0], : size[1]]
    x, y = (x + 0.5) * spacing, (y + 0.5) * spacing
    rng = stream(seed, number, 3, SIDES.index(side), VIEWS.index(view))
    skin = anatomy.skin_distance(x, y)
    signal = _tissue(rng, patient, anatomy, x, y, skin, gains)
    spread = float(signal[skin > 0].std())
    for shape in draw_shapes(seed, number, patient, anatomy, side, view, gains):
        _add_mass(signal, shape, x, y, spread)
        add_dots(signal, shape.dots, spacing, spread)
    signal *= _thickness(skin)
    return _film(rng, signal, patient, spacing)


def _thickness(skin: Floats) -> Image:
    """Compressed thickness over its maximum: a rounded edge of some 20 mm."""
    inside = np.clip(skin / 22, 0, 1)
    return (1 - (1 - inside) ** 2.6).astype(np.float32)


def _tissue(
    rng, patient: Patient, anatomy: Anatomy, x: Floats, y: Floats, skin: Floats, gains: Difficulty
) -> Image:
    height, width = skin.shape
    cloud, grain = power_law_pair(rng, height, 3.0, 5.0)
    strand, _ = power_law_pair(rng, height, 2.6, 7.0)
    columns = np.arange(width) % height
    cloud, grain = cloud[:, columns], grain[:, columns]
    # towards the nipple: p backwards along the axis, q across
    nx, ny = anatomy.nipple
    tilt = np.arctan2(ny - (anatomy.centre_y if anatomy.pectoral is None else 70), nx + 30)
    dx, dy = nx - x, y - ny
    p = dx * np.cos(tilt) - dy * np.sin(tilt)
    q = dy * np.cos(tilt) + dx * np.sin(tilt)
    squeeze = 1 + 0.9 * np.exp(-np.maximum(p, 0) / 50)
    coords = np.stack([(q * squeeze) / FIELD_MM * height, p / 1.8 / FIELD_MM * height])
    fibre = map_coordinates(
        strand, coords.astype(np.float32), order=1, mode="grid-wrap", output=np.float32
    )
    ridge = np.exp(-((fibre / 0.16) ** 2))
    # the glandular disc behind the nipple
    depth = nx
    rho2 = ((p - 0.45 * depth) / (0.55 * depth)) ** 2 + (q / (0.62 * depth)) ** 2
    bias = GLAND_BIAS[patient.density] + rng.normal(0, 0.3)
    gland = 1 / (1 + np.exp(-2.6 * (0.9 * cloud + 0.35 * fibre + bias + 1.1 - 1.3 * rho2)))
    tex = gains.texture
    signal = 1.0 + tex * (
        0.75 * gland * (1 + 0.25 * grain) + 0.10 * grain + 0.16 * ridge * (0.35 + gland)
    )
    muscle = anatomy.muscle_distance(x, y)
    if anatomy.pectoral is not None:
        m = 1 / (1 + np.exp(-np.clip(muscle / 0.8, -30, 30)))
        signal = signal * (1 - m) + m * (1.9 + 0.06 * grain + 0.002 * muscle)
    return signal.astype(np.float32)


def _add_mass(signal: Image, shape: Shape, x: Floats, y: Floats, spread: float) -> None:
    if shape.amplitude == 0:
        return
    dx, dy = x - shape.x, y - shape.y
    out = shape.outline_N2 - (shape.x, shape.y)
    reach = np.hypot(out[:, 0], out[:, 1])
    r = np.hypot(dx, dy)
    edge = np.interp(np.arctan2(dy, dx), np.arctan2(out[:, 1], out[:, 0]), reach, period=2 * np.pi)
    q = r / edge
    body = 1 / (1 + np.exp(np.clip((r - edge) / (0.5 * shape.margin_mm), -30, 30)))
    signal += (spread * shape.amplitude * body * (0.8 + 0.3 * (1 - np.minimum(q, 1) ** 2))).astype(
        np.float32
    )


def _film(rng, signal: Image, patient: Patient, spacing: float) -> np.ndarray:
    exposure = rng.normal(0, 0.12)
    grey = 245 / (1 + np.exp(-2.2 * (signal - 1.25 + exposure)))
    noise = rng.standard_normal(signal.shape, dtype=np.float32) * (1.6 * 0.2 / spacing)
    return np.clip(np.rint(grey + noise), 0, 255).astype(np.uint8)
