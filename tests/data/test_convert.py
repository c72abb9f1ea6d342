from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from mtlbench.config import IGNORED, DataConfig
from mtlbench.data.convert import convert, paint
from mtlbench.data.mammogram import Lesion, Mammogram
from mtlbench.data.outlines import Circle
from mtlbench.data.resize import place

SAME = place((40, 40), (40, 40))


def mammogram(pixels, **fields):
    height, width = pixels.shape
    return Mammogram("i", "p", partial(np.copy, pixels), height, width, **fields)


def breast(side):
    """Bright at the chest wall, dark at the other border."""
    pixels = np.tile(np.linspace(200, 10, 40).astype(np.uint8), (40, 1))
    return pixels if side == "left" else pixels[:, ::-1]


def drawn(*lesions, other="ignore"):
    regions = [lesion.outline.rasterise(40, 40) for lesion in lesions]
    return paint(lesions, regions, SAME, other)


def lesion(kind, pathology, x=20):
    return Lesion(kind, pathology, Circle(x, 20, 5))


@pytest.mark.parametrize("reverse", [False, True])
def test_the_higher_class_wins_an_overlap_whatever_the_order(reverse):
    ranked = [
        (lesion("mass", None), IGNORED),
        (lesion("mass", "benign"), 1),
        (lesion("calcification", "benign"), 3),
        (lesion("mass", "malignant"), 2),
        (lesion("calcification", "malignant"), 4),
    ]
    for (lower, _), (upper, value) in pairwise(ranked):
        both = (upper, lower) if reverse else (lower, upper)
        assert drawn(*both)[20, 20] == value


@pytest.mark.parametrize(
    ("other", "pathology", "value"),
    [
        ("ignore", "malignant", IGNORED),
        ("healthy", "malignant", 0),
        ("mass", "malignant", 2),
        ("mass", "benign", 1),
        ("mass", None, IGNORED),
    ],
)
def test_other_lesions_by_the_switch(other, pathology, value):
    mask = drawn(lesion("other", pathology), other=other)
    assert mask[20, 20] == value
    assert mask[0, 0] == 0


def test_chest_wall_goes_to_the_left_and_the_mask_with_it():
    spot = Lesion("mass", "malignant", Circle(30, 12, 3))
    left = convert(mammogram(breast("left"), lesions=(spot,)), DataConfig(size=(40, 40)))
    mirrored = Lesion("mass", "malignant", Circle(9, 12, 3))
    right = convert(mammogram(breast("right"), lesions=(mirrored,)), DataConfig(size=(40, 40)))
    assert (left.row["flipped"], right.row["flipped"]) == (0, 1)
    np.testing.assert_array_equal(left.image_HW, right.image_HW)
    np.testing.assert_array_equal(left.mask_HW, right.mask_HW)
    assert left.mask_HW[12, 30] == 2
    assert right.lesion_rows[0]["x_min"] == 6  # lesions.csv keeps the image's own coordinates


def test_what_the_adapter_knows_of_the_chest_wall_goes_first():
    pixels = breast("left")
    assert (
        convert(mammogram(pixels, chest_wall="right"), DataConfig(size=(40, 40))).row["flipped"]
        == 1
    )


def test_placement_columns_lead_from_native_to_prepared():
    spot = Lesion("mass", "benign", Circle(30, 12, 2.5))
    case = convert(mammogram(breast("right"), lesions=(spot,)), DataConfig(size=(100, 80)))
    rows, columns = np.nonzero(case.mask_HW)
    scale, top = case.row["scale"], case.row["top"]
    assert (scale, top) == (2.0, 10)
    assert rows.mean() == pytest.approx((12 + 0.5) * scale - 0.5 + top, abs=0.1)
    assert columns.mean() == pytest.approx((40 - 1 - 30 + 0.5) * scale - 0.5, abs=0.1)


def test_a_normal_is_healthy_and_a_lost_lesion_ignores_all():
    lost = Lesion("calcification", "malignant", None)
    normal = convert(mammogram(breast("left")), DataConfig(size=(20, 20)))
    unlocated = convert(
        mammogram(breast("left"), lesions=(lost,), has_mask=False), DataConfig(size=(20, 20))
    )
    assert set(np.unique(normal.mask_HW)) == {0}
    assert set(np.unique(unlocated.mask_HW)) == {IGNORED}
    assert (normal.row["has_mask"], unlocated.row["has_mask"]) == (1, 0)
