import numpy as np
import pytest

from mtlbench.config import DataConfig
from mtlbench.data.breast import breast_box, breast_mask, whole_box
from mtlbench.data.pixels import read_image

H, W = 400, 300


def film(label=True, edge=True):
    """Half an ellipse at the left border on a dim film, a label, a bright edge; and its truth."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:H, :W]
    breast = ((y - 200) / 150) ** 2 + (x / 180) ** 2 < 1
    image = rng.normal(12, 3, (H, W)) + breast * rng.normal(120, 20, (H, W))
    if label:
        image[20:60, 240:285] = 240
    if edge:
        image[:, -6:] = 250
    return np.clip(image, 0, 255).astype(np.uint8), breast


@pytest.mark.parametrize("label", [False, True])
@pytest.mark.parametrize("edge", [False, True])
def test_the_breast_is_found_and_neither_label_nor_edge(label, edge):
    image, breast = film(label, edge)
    found = breast_mask(image)
    overlap = 2 * (found & breast).sum() / (found.sum() + breast.sum())
    assert overlap > 0.97
    assert not found[20:60, 240:285].any()
    assert not found[:, -6:].any()


def test_the_box_holds_the_breast_with_a_margin_and_little_more():
    image, breast = film()
    box = breast_box(image)
    inside = np.zeros_like(breast)
    inside[box.slices] = True
    assert breast[~inside].sum() == 0
    assert box.left == 0
    assert box.height * box.width < 1.25 * 300 * 180


def test_16_bits_and_large_images_give_the_same_breast():
    image, _ = film()
    large = np.repeat(np.repeat(image.astype(np.uint16) * 200, 4, axis=0), 4, axis=1)
    one, four = breast_mask(image), breast_mask(large)[::4, ::4]
    assert (one != four).mean() < 0.02


def test_a_breast_that_fills_the_film_is_no_edge():
    image = np.full((H, W), 150, dtype=np.uint8)
    image[:, 200:] = 10
    assert breast_mask(image)[:, :190].all()


@pytest.mark.parametrize("value", [0, 77])
def test_where_nothing_is_found_the_whole_image_is(value):
    image = np.full((H, W), value, dtype=np.uint8)
    assert breast_mask(image).all()
    assert breast_box(image) == whole_box(image)


def test_lesions_of_real_films_lie_in_the_breast(mini_mias):
    from mtlbench.data.adapters import mias

    inside = []
    for mammogram in mias.read(mini_mias, DataConfig()).mammograms:
        for lesion in mammogram.lesions:
            if lesion.outline is None:
                continue
            image = read_image(mini_mias / mammogram.path)
            turned = image[:, ::-1] if mammogram.chest_wall == "right" else image
            found = breast_mask(turned)
            if mammogram.chest_wall == "right":
                found = found[:, ::-1]
            mask = lesion.outline.rasterise(*image.shape).whole(*image.shape)
            inside.append(found[mask].mean())
    assert len(inside) > 20
    assert np.mean(np.array(inside) > 0.95) > 0.9
