import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from PIL import Image

from mtlbench.data.mammogram import Finding, Lesion
from mtlbench.data.outlines import Circle, MaskFile, Polygon
from mtlbench.errors import DataError

coordinate = st.floats(-8, 28).map(lambda x: round(x, 3))


def test_circle_is_the_pixels_within_its_radius():
    mask = Circle(3, 2, 1).rasterise(5, 6).whole(5, 6)
    assert set(zip(*np.nonzero(mask), strict=True)) == {(2, 2), (2, 3), (2, 4), (1, 3), (3, 3)}
    assert Circle(50.2, 49.7, 30).rasterise(100, 100).whole(100, 100).sum() == pytest.approx(
        np.pi * 900, rel=0.01
    )


def test_circle_is_clipped_and_may_miss_the_image():
    assert Circle(0, 0, 1).rasterise(4, 4).whole(4, 4).sum() == 3
    assert not Circle(-9, 50, 3).rasterise(4, 4).whole(4, 4).any()


@given(st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=3))
def test_triangle_agrees_with_matplotlib(points):
    (ax, ay), (bx, by), (cx, cy) = points
    assume(abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)) > 0.1)
    rows, columns = np.mgrid[:20, :20]
    centres = np.column_stack([columns.ravel(), rows.ravel()])
    outline = Outline([*points, points[0]], closed=True)
    one, other = (outline.contains_points(centres, radius=r) for r in (-1e-6, 1e-6))
    mask = Polygon(tuple(points)).rasterise(20, 20).whole(20, 20).ravel()
    assume((one & other).any())
    clear = one == other  # not on the outline itself
    np.testing.assert_array_equal(mask[clear], one[clear])


def test_mask_file_by_value_and_size(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(np.array([[0, 1], [2, 255]], dtype=np.uint8)).save(path)
    assert MaskFile(path).rasterise(2, 2).whole(2, 2).tolist() == [[False, True], [True, True]]
    assert MaskFile(path, 2).rasterise(2, 2).whole(2, 2).tolist() == [[False, False], [True, False]]
    with pytest.raises(DataError, match=r"the mask is 2 x 2 and the image 2 x 3"):
        MaskFile(path).rasterise(2, 3)


def test_mask_class_is_one_of_four():
    classes = {
        (kind, pathology): Lesion(kind, pathology, None).mask_class
        for kind in ("mass", "calcification", "other")
        for pathology in ("benign", "malignant", "unproven", None)
    }
    assert {key: value for key, value in classes.items() if value is not None} == {
        ("mass", "benign"): 1,
        ("mass", "malignant"): 2,
        ("calcification", "benign"): 3,
        ("calcification", "malignant"): 4,
    }


def test_finding_reads_as_file_row_message():
    assert str(Finding("error", "manifest.csv", 7, "no")) == "manifest.csv:7: no"
    assert str(Finding("note", "a.png", None, "odd")) == "a.png: odd"


@pytest.mark.parametrize(
    "outline",
    [Circle(5.4, 3.4, 0.1), Polygon(((5.3, 3.3), (5.45, 3.3), (5.4, 3.45)))],
    ids=["circle", "polygon"],
)
def test_a_lesion_below_a_pixel_keeps_the_nearest_one(outline):
    assert np.argwhere(outline.rasterise(8, 9).whole(8, 9)).tolist() == [[3, 5]]
