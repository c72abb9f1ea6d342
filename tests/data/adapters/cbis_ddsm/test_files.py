"""Which of a folder's files is the full image, and which the mask."""

from pathlib import Path

import pytest

from mtlbench.data.adapters.cbis_ddsm.files import ImageFile, choose_full, choose_mask
from mtlbench.data.pixels import ImageHeader
from mtlbench.errors import DataError

FULL, CROP, MASK = "full mammogram images", "cropped images", "ROI mask images"
SIZE = (60, 40)


def header_file(name: str, size: tuple[int, int], series: str = "") -> ImageFile:
    return ImageFile(Path(f"{name}.dcm"), name, ImageHeader(*size), series)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([((20, 14), ""), (SIZE, "")], 1),
        ([(SIZE, CROP), ((20, 14), MASK)], 0),
        ([(SIZE, CROP), (SIZE, MASK)], 1),
        ([((48, 32), ""), ((20, 14), "")], 0),
        ([((48, 32), CROP), ((20, 14), MASK)], 0),
        ([((20, 14), CROP), ((48, 32), MASK)], 1),
        ([((45, 30), CROP), ((48, 32), MASK)], 1),
        ([((48, 32), CROP), ((45, 30), MASK)], 1),
        ([((18, 12), CROP), ((48, 32), "")], 1),  # the crop has the image's shape by chance
        ([(SIZE, FULL), (SIZE, "")], 1),
    ],
)
def test_choice_of_the_mask(files, expected):
    named = [header_file(str(n), *file) for n, file in enumerate(files)]
    assert choose_mask("x_1", named, ImageHeader(*SIZE))[0].name == str(expected)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "no such file: there must be a mask in a folder x_1"),
        ([(SIZE, FULL)], "no such file: there must be a mask"),
        ([((20, 14), "")], "no mask: 0 is a crop"),
        ([((48, 32), "")], "no mask: 0 is a crop"),
        ([((20, 14), CROP)], "no mask: 0 is a crop"),
        ([(SIZE, MASK), (SIZE, MASK)], "must have one mask, but it may be 0 or 1"),
        ([((20, 14), ""), ((30, 29), "")], "the mask 1 is 30 x 29 and the image 60 x 40"),
        ([((18, 12), MASK)], "the mask 0 is 18 x 12 and the image 60 x 40"),
    ],
)
def test_no_choice_of_a_mask(files, message):
    named = [header_file(str(n), *file) for n, file in enumerate(files)]
    with pytest.raises(DataError, match=message):
        choose_mask("x_1", named, ImageHeader(*SIZE))


def test_choice_of_the_full_image():
    crop, plain, full = (header_file(n, SIZE, s) for n, s in (("c", CROP), ("p", ""), ("f", FULL)))
    assert choose_full("x", [crop, plain]) is plain
    assert choose_full("x", [plain, full, crop]) is full
    with pytest.raises(DataError, match="no full image: c is described as 'cropped images'"):
        choose_full("x", [crop])
    with pytest.raises(DataError, match="must have one full image, but has f and f"):
        choose_full("x", [full, full])


def test_the_reported_case_of_another_size():
    """Mass-Test_P_00145_LEFT_CC, as reported."""
    image = ImageHeader(5041, 2056)
    files = [header_file("a", (600, 500), CROP), header_file("b", (4386, 1789), MASK)]
    mask, oddity, action = choose_mask("x_1", files, image)
    assert (mask.name, action) == ("b", "stretched to the image")
    assert "the mask b is 4386 x 1789 and the image 5041 x 2056" in oddity
