from pathlib import Path
from time import process_time

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

import mtlbench.data.phantoms.image as image_model
from mtlbench.config import DataConfig
from mtlbench.data.adapters.phantom import read
from mtlbench.data.mammogram import Mammogram

SIZE = (512, 384)


def first_with(lesion_type: str, pathology: str) -> Mammogram:
    """The first image with one lesion, of this kind and large enough to see."""
    for mammogram in read(
        Path(), DataConfig(size=SIZE, patients=200, difficulty="easy")
    ).mammograms:
        kinds = [(lesion.type, lesion.pathology) for lesion in mammogram.lesions]
        if kinds == [(lesion_type, pathology)]:
            return mammogram
    raise AssertionError


def mask_of(mammogram: Mammogram) -> NDArray[np.bool_]:
    (lesion,) = mammogram.lesions
    assert lesion.outline is not None
    return lesion.outline.rasterise(*SIZE).whole(*SIZE)


def lesion_alone(mammogram: Mammogram, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.float64]:
    """What the lesion adds to the image: the same breast with it and without."""
    whole = mammogram.pixels().astype(float)
    monkeypatch.setattr(image_model, "draw_shapes", lambda *arguments: [])
    return whole - mammogram.pixels()


def test_the_outline_of_a_benign_mass_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    mammogram = first_with("mass", "benign")
    mask, added = mask_of(mammogram), lesion_alone(mammogram, monkeypatch)
    body = added > 0.4 * np.quantile(added[mask], 0.9)
    assert (body & mask).sum() / (body | mask).sum() > 0.85


@pytest.mark.parametrize(
    ("pathology", "low", "high"), [("benign", -0.02, 0.02), ("malignant", 0.08, 0.9)]
)
def test_only_malignant_masses_reach_beyond_their_outline(
    pathology: str, low: float, high: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    mammogram = first_with("mass", pathology)
    mask, added = mask_of(mammogram), lesion_alone(mammogram, monkeypatch)
    near, far = (ndimage.binary_dilation(mask, iterations=pixels) for pixels in (5, 11))
    assert low < added[far & ~near].mean() / added[mask].mean() < high


@pytest.mark.parametrize("pathology", ["benign", "malignant"])
def test_the_region_of_calcifications_holds_them(
    pathology: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mammogram = first_with("calcification", pathology)
    mask, added = mask_of(mammogram), lesion_alone(mammogram, monkeypatch)
    assert added[mask].sum() > 0.97 * added.sum() > 0


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_the_scene_is_the_same_at_every_size(view: image_model.View) -> None:
    fine = image_model.render(0, 1, "left", view, (1024, 768), "real")
    coarse = image_model.render(0, 1, "left", view, (256, 192), "real")
    average = np.asarray(Image.fromarray(fine).resize((192, 256), Image.Resampling.BOX))
    breast = average > 20
    assert np.corrcoef(average[breast], coarse[breast])[0, 1] > 0.98


def test_the_breast_lies_at_the_left_and_the_background_is_dark() -> None:
    for number in range(1, 6):
        for side in ("left", "right"):
            pixels = image_model.render(0, number, side, "CC", (256, 192), "real")
            assert pixels.dtype == np.uint8
            assert pixels[128, 0] > 50
            assert np.median(pixels[:, -8:]) < 6


def test_wide_images_are_padded_with_background() -> None:
    narrow = image_model.render(0, 2, "left", "MLO", (128, 96), "real")
    wide = image_model.render(0, 2, "left", "MLO", (128, 300), "real")
    assert wide[:, 160:].max() < 20
    assert np.abs(wide[:, :96].astype(int) - narrow).mean() < 2  # film grain differs


def test_thirty_images_a_second() -> None:
    mammograms = read(Path(), DataConfig(size=(256, 192), patients=6)).mammograms
    mammograms[0].pixels()
    seconds = []
    for mammogram in mammograms:
        start = process_time()
        mammogram.pixels()
        for lesion in mammogram.lesions:
            assert lesion.outline is not None
            lesion.outline.rasterise(256, 192).whole(256, 192)
        seconds.append(process_time() - start)
    assert min(seconds) < 1 / 30  # the least disturbed one: other work may share the core
