import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlbench.data.outlines import Circle, Region
from mtlbench.data.resize import Placement, place, resample_image, resample_region


def resample_mask(mask: np.ndarray, placement: Placement) -> np.ndarray:
    region = resample_region(Region(0, 0, mask), placement)
    return region.whole(*placement.size)


def exact_average(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Repeat pixels to the common multiple of both sizes, take block means; rows, then columns."""
    for n_out in size:
        common = np.lcm(image.shape[0], n_out)
        repeated = np.repeat(image.astype(float), common // image.shape[0], axis=0)
        image = repeated.reshape(n_out, common // n_out, -1).mean(axis=1).T
    return image


@given(
    st.integers(1, 20), st.integers(1, 20), st.integers(1, 15), st.integers(1, 15), st.integers(0)
)
def test_image_is_the_exact_area_average(h, w, height, width, seed):
    image = np.random.default_rng(seed).integers(0, 65536, (h, w)).astype(np.uint16)
    placement = place((h, w), (height, width))
    out = resample_image(image, placement)
    rows, columns = placement.fitted
    part = out[placement.top : placement.top + rows, :columns]
    expected = exact_average(image, placement.fitted)
    assert out.dtype == np.uint16
    assert np.abs(part - expected).max() <= 0.5 + 0.02  # rounding, and float32 below 65536
    assert out.sum() == part.sum()  # padding is 0


def test_place_keeps_the_aspect_ratio_at_the_left_border():
    placement = place((1024, 1024), (512, 384))
    assert placement.fitted == (384, 384)
    assert placement.top == 64
    assert placement.scale == 0.375
    assert place((4000, 1000), (400, 300)).fitted == (400, 100)


def test_same_size_is_untouched():
    image = np.arange(12, dtype=np.uint16).reshape(3, 4)
    assert resample_image(image, place((3, 4), (3, 4))) is image


def test_constant_stays_constant():
    image = np.full((97, 61), 65535, dtype=np.uint16)
    out = resample_image(image, place((97, 61), (40, 40)))
    assert set(np.unique(out)) == {0, 65535}


@pytest.mark.parametrize("native", [(1024, 1024), (700, 500), (1500, 1100)])
def test_lesion_area_is_kept_and_stays_in_place(native):
    rng = np.random.default_rng(1)
    placement = place(native, (256, 192))
    deviation, shift = [], []
    for _ in range(40):
        radius = rng.uniform(11.5, 25) / placement.scale  # 400 prepared pixels and more
        x, y = rng.uniform(radius, np.array(native[::-1]) - radius)
        mask = Circle(x, y, radius).rasterise(*native).whole(*native)
        out = resample_mask(mask, placement)
        deviation.append(abs(out.sum() / (mask.sum() * placement.scale**2) - 1))
        rows, columns = np.nonzero(out)
        expected = (y + 0.5) * placement.scale - 0.5 + placement.top
        shift.append(abs(rows.mean() - expected))
        x_scale = placement.fitted[1] / native[1]
        shift.append(abs(columns.mean() - ((x + 0.5) * x_scale - 0.5)))
    assert np.quantile(deviation, 0.95) < 0.02
    assert max(shift) < 0.15


def test_compact_lesion_is_where_it_covers_half_a_pixel():
    mask = Circle(301.3, 298.9, 120).rasterise(600, 600).whole(600, 600)
    out = resample_mask(mask, place((600, 600), (120, 120)))
    share = exact_average(mask, (120, 120))
    clear = np.abs(share - 0.5) > 0.1
    np.testing.assert_array_equal(out[clear], share[clear] > 0.5)


@given(st.integers(0, 199), st.integers(0, 149))
def test_a_speck_keeps_its_best_pixel(row, column):
    mask = np.zeros((200, 150), dtype=bool)
    mask[row, column] = True
    out = resample_mask(mask, place((200, 150), (20, 15)))
    assert np.argwhere(out).tolist() == [[row // 10, column // 10]]


def test_many_scattered_specks_keep_their_joint_area_and_place():
    mask = np.zeros((400, 400), dtype=bool)
    mask[::8, ::8] = True  # 2,500 specks of a quarter of a prepared pixel
    out = resample_mask(mask, place((400, 400), (200, 200)))
    assert out.sum() == 625
    rows, columns = np.nonzero(out)
    assert abs(rows.mean() - 98) < 4  # spread over the lesion, not all from one side
    assert abs(columns.mean() - 98) < 4


@pytest.mark.parametrize("side", [1, 3])
def test_no_speck_of_a_small_cluster_vanishes(side):
    mask = np.zeros((1000, 1000), dtype=bool)
    corners = [(100 + 37 * (i % 7), 80 + 53 * (i // 7)) for i in range(42)]
    for row, column in corners:
        mask[row : row + side, column : column + side] = True
    out = resample_mask(mask, place((1000, 1000), (200, 200)))
    middle = side // 2
    expected = {((row + middle) // 5, (column + middle) // 5) for row, column in corners}
    assert {tuple(place) for place in np.argwhere(out).tolist()} == expected


def test_same_size_and_empty_masks():
    mask = np.random.default_rng(0).random((9, 7)) > 0.5
    np.testing.assert_array_equal(resample_mask(mask, place((9, 7), (9, 7))), mask)
    assert not resample_mask(np.zeros((9, 7), dtype=bool), place((9, 7), (3, 3))).any()
