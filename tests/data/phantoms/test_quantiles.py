"""Phantoms of difficulty `real` against what was measured on real mammograms (docs/phantoms.md).

The real quartiles are of 1,225 mass images of CBIS-DDSM at 256 x 256 and, for the power spectrum,
of mini-MIAS at 0.2 mm. Phantoms are measured in the same way, with code of its own.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from mtlbench.config import DataConfig
from mtlbench.data.adapters.phantom import read
from mtlbench.data.mammogram import Mammogram
from mtlbench.data.outlines import Polygon

SIZE = (256, 192)


@cache
def cohort(patients: int) -> list[Mammogram]:
    return read(Path(), DataConfig(size=SIZE, patients=patients)).mammograms


def largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, _ = ndimage.label(mask)
    return labels == 1 + np.bincount(labels.ravel())[1:].argmax()


def circularity(mask: NDArray[np.bool_]) -> float:
    """4πA/P² with P = boundary pixels x 1.1; NaN below 60 pixels or where it is not one piece."""
    if mask.sum() < 60 or ndimage.label(mask)[1] != 1:
        return float("nan")
    perimeter = 1.1 * (mask & ~ndimage.binary_erosion(mask)).sum()
    return float(4 * np.pi * mask.sum() / perimeter**2)


def measure(mammogram: Mammogram) -> dict[str, float | str | int | None]:
    image, mask = np.zeros((256, 256)), np.zeros((256, 256), dtype=bool)
    image[:, : SIZE[1]] = mammogram.pixels()
    for lesion in mammogram.lesions:
        if lesion.type == "mass":
            assert lesion.outline is not None
            mask[:, : SIZE[1]] |= lesion.outline.rasterise(*SIZE).whole(*SIZE)
    breast = largest(image > 10)
    away = ndimage.distance_transform_edt(~mask)
    ring = (away >= 1) & (away <= 6) & breast
    contrast = (image[mask].mean() - image[ring].mean()) / image[breast].std()
    return {
        "label": mammogram.label,
        "density": mammogram.density,
        "share": float(breast.mean()),
        "area": float(mask.sum() / breast.sum()),
        "contrast": float(contrast),
        "circularity": circularity(mask),
    }


@pytest.fixture(scope="module")
def masses() -> pd.DataFrame:
    one_view_a_breast = cohort(700)[::4] + cohort(700)[3::4]  # left CC, right MLO
    shown = [m for m in one_view_a_breast if any(lesion.type == "mass" for lesion in m.lesions)]
    return pd.DataFrame([measure(mammogram) for mammogram in shown])


@pytest.mark.parametrize(
    ("quantity", "label", "real", "tolerance"),
    [
        ("share", None, (0.22, 0.28, 0.34), 0.02),
        ("area", 0, (0.0050, 0.0085, 0.0143), 0.0030),
        ("area", 1, (0.0060, 0.0116, 0.0213), 0.0035),
        ("contrast", 0, (0.32, 0.51, 0.71), 0.08),
        ("contrast", 1, (0.45, 0.64, 0.86), 0.08),
        ("circularity", 0, (0.72, 0.84, 0.94), 0.06),
        ("circularity", 1, (0.69, 0.81, 0.93), 0.06),
    ],
)
def test_quartiles_match_real_masses(
    masses: pd.DataFrame,
    quantity: str,
    label: int | None,
    real: tuple[float, float, float],
    tolerance: float,
) -> None:
    values = masses if label is None else masses[masses["label"] == label]
    ours = values[quantity].dropna().quantile([0.25, 0.5, 0.75])
    assert ours.to_numpy() == pytest.approx(real, abs=tolerance)


def test_malignant_masses_are_not_told_by_outline_or_size_alone(masses: pd.DataFrame) -> None:
    malignant, benign = masses[masses["label"] == 1], masses[masses["label"] == 0]
    for quantity, bound in (("circularity", 0.60), ("area", 0.68), ("contrast", 0.72)):
        one, other = malignant[quantity].dropna(), benign[quantity].dropna()
        greater = np.mean(one.to_numpy()[:, None] > other.to_numpy())
        assert 1 - bound < greater < bound, quantity


def test_density_and_pathology_mix() -> None:
    shown = [m for m in cohort(1000) if any(lesion.type == "mass" for lesion in m.lesions)]
    shares = pd.Series([m.density for m in shown]).value_counts(normalize=True).sort_index()
    assert shares.to_list() == pytest.approx([0.20, 0.45, 0.27, 0.09], abs=0.05)
    assert np.mean([m.label for m in shown]) == pytest.approx(0.49, abs=0.05)


def test_radius_of_calcifications_is_that_of_mias_circles() -> None:
    radii = []
    for mammogram in cohort(1000):
        for lesion in mammogram.lesions:
            if lesion.type == "calcification":
                assert isinstance(lesion.outline, Polygon)
                assert mammogram.spacing_mm is not None
                points = np.asarray(lesion.outline.points) * mammogram.spacing_mm
                radii.append(np.hypot(*(points - points.mean(axis=0)).T).max())
    assert np.median(radii) == pytest.approx(4.6, abs=0.5)
    low, high = np.quantile(radii, [0.05, 0.95])
    assert 1.3 <= low < high <= 12


def spectral_slopes(image: NDArray[np.uint8]) -> list[float]:
    """β of 256-pixel squares of 0.2 mm pixels inside the breast: Hann window, log-log bins 4-59."""
    window = np.outer(np.hanning(256), np.hanning(256))
    k = np.fft.fftfreq(256) * 256
    bins = np.round(np.hypot(k[:, None], k)).astype(int).ravel()
    breast = ndimage.binary_fill_holes(largest(image > 30))
    slopes = []
    for top in range(0, image.shape[0] - 255, 128):
        for left in range(0, image.shape[1] - 255, 128):
            square = np.s_[top : top + 256, left : left + 256]
            if breast[square].all():
                waves = np.fft.fft2((image[square] - image[square].mean()) * window)
                power = np.bincount(bins, (np.abs(waves) ** 2).ravel()) / np.bincount(bins)
                slope = np.polyfit(np.log(np.arange(4, 60)), np.log(power[4:60]), 1)[0]
                slopes.append(-float(slope))
    return slopes


def test_power_spectrum_falls_as_on_film() -> None:
    index = read(Path(), DataConfig(size=(1152, 832), patients=16)).mammograms
    slopes = [slope for mammogram in index[1::4] for slope in spectral_slopes(mammogram.pixels())]
    assert len(slopes) > 60
    assert np.quantile(slopes, [0.25, 0.5, 0.75]) == pytest.approx((2.48, 2.73, 3.00), abs=0.2)


def test_grains_stand_out_as_little_as_on_film() -> None:
    """Highest grey level of a region over its local median; mini-MIAS: quartiles 16, 21, 26."""
    peaks = []
    for mammogram in read(Path(), DataConfig(size=(1152, 832), patients=90)).mammograms[::3]:
        if [lesion.type for lesion in mammogram.lesions] == ["calcification"]:
            (lesion,) = mammogram.lesions
            assert lesion.outline is not None
            region = lesion.outline.rasterise(1152, 832).whole(1152, 832)
            (rows, columns) = ndimage.find_objects(region.astype(int))[0]
            part = np.s_[max(rows.start - 5, 0) : rows.stop + 5, columns.start : columns.stop + 5]
            image = mammogram.pixels()[part].astype(float)
            peaks.append((image - ndimage.median_filter(image, 5))[region[part]].max())
    assert len(peaks) > 10
    assert np.median(peaks) == pytest.approx(21, abs=6)
