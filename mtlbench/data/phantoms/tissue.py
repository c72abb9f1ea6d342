"""What a healthy breast attenuates: fat, glands, strands, vessels and the pectoral muscle.

H, W = the image's height and width. The unit is the attenuation of fat at full thickness.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from mtlbench.data.phantoms.anatomy import FIELD_MM, Anatomy, Floats
from mtlbench.data.phantoms.brushes import (
    Dots,
    Image,
    add_dots,
    power_law_pair,
    sample,
    stroke,
    threads,
)
from mtlbench.data.phantoms.patient import Patient

GLAND_BIAS = {1: -1.0, 2: 0.0, 3: 1.0, 4: 2.0}
"""How readily tissue is glandular, by ACR density."""
_SMOOTH = 60
"""Finest waves of smooth fields, in cycles a field: 3.8 mm."""


def draw_tissue(
    rng: np.random.Generator,
    patient: Patient,
    anatomy: Anatomy,
    x_W: Floats,
    y_H: Floats,
    texture: float,
) -> Image:
    """Draw attenuation at full thickness at every pixel centre; `texture` is a gain on contrast."""
    # A stream for each layer: the number of waves drawn depends on the size.
    rng, *layers = rng.spawn(5)
    n, spacing = y_H.size, FIELD_MM / y_H.size
    columns = np.arange(x_W.size) % n
    beta = 2.2 + 0.2 * int(rng.integers(5))
    cloud, fibre = power_law_pair(layers[0], n, beta, 8.0)
    blobs = [blob[:, columns] for blob in power_law_pair(layers[1], n, 5.0, 3.0, _SMOOTH)]
    drift = [field[:, columns] for field in power_law_pair(layers[2], n, 5.0, 4.0, _SMOOTH)]
    webs = power_law_pair(layers[3], n, 4.4, 6.0, _SMOOTH)
    cloud = cloud[:, columns]

    behind, across = _towards_nipple(anatomy, x_W, y_H)
    place = _place(behind, across, drift, spacing)
    fibre = sample(fibre, place)
    strands = sum(threads(sample(web, place), spacing, 1.4, 0.45) for web in webs)
    uneven = 0.2 * fibre + 0.15 * cloud
    gland = _gland(patient, anatomy, behind, across, [blob + uneven for blob in blobs])
    patchy = np.clip(0.5 + 0.7 * drift[0] + 0.5 * fibre, 0, 2)
    detail = (
        patient.gland_contrast * gland * (0.42 + 0.028 * cloud + 0.028 * fibre)
        + 0.015 * (cloud + fibre)
        + 0.05 * strands * patchy * (0.7 + 0.4 * gland)
    )
    signal = np.asarray(1 + texture * detail, dtype=np.float32)
    signal += np.float32(rng.normal(0.12, 0.13)) * np.exp(-x_W / 45).astype(np.float32)
    add_dots(signal, _vessels(rng, anatomy), spacing, texture)
    return _with_muscle(signal, anatomy, cloud, x_W, y_H)


def _towards_nipple(anatomy: Anatomy, x_W: Floats, y_H: Floats) -> tuple[Image, Image]:
    """Give distance behind the nipple along the ducts' axis, and across it, in mm."""
    x, y = anatomy.nipple
    tilt = np.arctan2(0.0 if anatomy.pectoral is None else 60.0, x + 30)
    dx, dy = x - x_W, y_H[:, None] - y
    behind = dx * np.cos(tilt) - dy * np.sin(tilt)
    across = dy * np.cos(tilt) + dx * np.sin(tilt)
    return behind.astype(np.float32), across.astype(np.float32)


def _place(
    behind: Image, across: Image, drift: list[Image], spacing_mm: float
) -> NDArray[np.float32]:
    """Say where to sample a tile so that its structures are drawn out towards the nipple."""
    squeeze = 1 + 0.9 * np.exp(-np.maximum(behind, 0) / 50)
    place = np.stack([across * squeeze + 4 * drift[0], behind / 2.2 + 4 * drift[1]])
    return np.asarray(place / spacing_mm, dtype=np.float32)


def _gland(
    patient: Patient, anatomy: Anatomy, behind: Image, across: Image, fields: list[Image]
) -> Image:
    """Draw the share of glandular tissue: two layers of soft blobs in a disc behind the nipple."""
    depth = anatomy.nipple[0]
    disc = ((behind - 0.45 * depth) / (0.6 * depth)) ** 2 + (across / (0.72 * depth)) ** 2
    bias = GLAND_BIAS[patient.density] + patient.gland_bias + 0.3 - 1.9 * disc
    layers = [0.5 * expit(2.0 * (1.1 * field + bias)) for field in fields]
    return np.asarray(sum(layers), dtype=np.float32)


def _vessels(rng: np.random.Generator, anatomy: Anatomy) -> Dots:
    """Draw a few tapering vessels from the chest wall and the axilla towards the nipple."""
    step, parts = 0.4, []
    nipple_x, nipple_y = anatomy.nipple
    for _ in range(int(rng.integers(2, 6))):
        start_y = nipple_y + rng.uniform(-0.9, 0.9) * nipple_x
        end_x, end_y = nipple_x * rng.uniform(0.5, 0.9), nipple_y + rng.normal(0, 22)
        length = float(np.hypot(end_x, end_y - start_y))
        t = np.arange(0, 1, step / length)
        wave = sum(
            rng.normal(0, 5 / k**0.8) * np.sin(np.pi * k * t + rng.uniform(0, 6))
            for k in (2, 3, 5, 9, 14)
        )
        bow = rng.normal(0, 14) * np.sin(np.pi * t)
        radius = rng.uniform(0.6, 1.3) * (1 - 0.5 * t)
        peak = rng.uniform(0.04, 0.12) * np.minimum(1, 5 * (1 - t))
        y = start_y + (end_y - start_y) * t + wave + bow
        parts.append(np.stack(stroke(end_x * t, y, radius, peak, step)))
    return Dots(*np.concatenate(parts, axis=1))


def _with_muscle(signal: Image, anatomy: Anatomy, cloud: Image, x_W: Floats, y_H: Floats) -> Image:
    """Lay the pectoral muscle of an MLO view over the tissue, brightest at the corner."""
    if anatomy.pectoral is None:
        return signal
    deep = anatomy.muscle_distance(x_W, y_H[:, None])
    inside = expit(deep / 0.9)
    muscle = anatomy.muscle_signal + 0.03 * cloud + 0.006 * np.maximum(deep, 0)
    return np.asarray(signal * (1 - 0.7 * inside) + inside * muscle, dtype=np.float32)
