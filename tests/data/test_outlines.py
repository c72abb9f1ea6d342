import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from mtlbench.data.outlines import Box, Chain, Circle, MaskFile, Point, Polygon, Region
from mtlbench.errors import DataError

H, W = 30, 40


def whole(outline):
    return outline.rasterise(H, W).whole(H, W)


def test_box_holds_both_ends_and_is_clipped():
    assert np.argwhere(whole(Box(3, 2, 4, 4))).tolist() == [
        [r, c] for r in (2, 3, 4) for c in (3, 4)
    ]
    assert whole(Box(-5, -5, 1, 0)).sum() == 2
    assert whole(Box(3.6, 2.2, 3.9, 2.9)).sum() == 1  # below a pixel: the nearest one
    assert not whole(Box(50, 2, 60, 4)).any()


def test_point_is_its_nearest_pixel():
    assert np.argwhere(whole(Point(5.4, 3.6))).tolist() == [[4, 5]]
    assert whole(Point(W - 0.6, 0)).any()
    assert not whole(Point(W - 0.5, 0)).any()


def walk(x, y, codes):
    """The chain's pixels, step by step."""
    steps = [(0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1)]
    points = [(x, y)]
    for code in codes:
        x, y = x + steps[code][0], y + steps[code][1]
        points.append((x, y))
    return points


@given(
    st.integers(-3, 33),
    st.integers(-3, 25),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 4),
)
def test_chain_is_its_boundary_and_what_that_encloses(x, y, width, height, cut):
    """An octagon with corners cut: right, down, left, up, clockwise."""
    codes = [2] * width + [3] * cut + [4] * height + [5] * cut
    codes += [6] * width + [7] * cut + [0] * height + [1] * cut
    points = walk(x, y, codes)
    assert points[0] == points[-1]
    room = np.zeros((80, 80), dtype=bool)
    for px, py in points:
        room[py + 20, px + 20] = True
    filled = ndimage.binary_fill_holes(room)[20 : 20 + H, 20 : 20 + W]
    np.testing.assert_array_equal(whole(Chain(x, y, bytes(codes))), filled)


def test_chain_of_a_single_pixel():
    assert np.argwhere(whole(Chain(4, 7, b""))).tolist() == [[7, 4]]


@pytest.mark.parametrize(
    "outline",
    [
        Circle(1e12, 5, 3), Polygon(((1e15, 1), (1e15, 9), (1e15 + 5, 4))), Box(-1e18, 0, -1e17, 4),
        Chain(10**12, -(10**12), bytes([2, 4, 6, 0])), Point(-1e300, 0),
    ],
)  # fmt: skip
def test_what_lies_far_away_costs_nothing(outline):
    region = outline.rasterise(H, W)
    assert region.area == 0
    assert region.mask_hw.size <= H * W


def test_a_lesion_takes_a_patch_and_not_the_image():
    assert Circle(2000, 1000, 3).rasterise(4000, 3000).mask_hw.size == 49


def test_region_mirrored_and_cropped():
    mask = np.zeros((H, W), dtype=bool)
    mask[4:9, 6:20] = np.random.default_rng(0).random((5, 14)) > 0.5
    region = Region(4, 6, mask[4:9, 6:20])
    np.testing.assert_array_equal(region.mirrored(W).whole(H, W), mask[:, ::-1])
    cropped = region.cropped(6, 10, 20, 8)
    np.testing.assert_array_equal(cropped.whole(20, 8), mask[6:26, 10:18])
    assert region.cropped(20, 0, 5, 5).area == 0


def test_mask_of_another_size_is_stretched_where_its_shape_is_the_same(tmp_path):
    path = tmp_path / "mask.png"
    small = np.zeros((15, 20), dtype=np.uint8)
    small[3:6, 4:8] = 255
    Image.fromarray(small).save(path)
    expected = np.repeat(np.repeat(small > 0, 2, axis=0), 2, axis=1)
    np.testing.assert_array_equal(whole(MaskFile(path, scaled=True)), expected)
    with pytest.raises(DataError, match="the mask is 15 x 20 and the image 30 x 40"):
        MaskFile(path).rasterise(H, W)
    with pytest.raises(DataError, match="must have the same size"):
        MaskFile(path, scaled=True).rasterise(H, W + 5)


def test_lossy_mask_by_threshold(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(np.array([[3, 127], [128, 250]], dtype=np.uint8)).save(path)
    assert MaskFile(path, above=127).rasterise(2, 2).whole(2, 2).tolist() == [
        [False, False],
        [True, True],
    ]
