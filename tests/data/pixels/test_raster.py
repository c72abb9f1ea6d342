import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mtlbench.data.pixels import MAX_PIXELS, read_header, read_image
from mtlbench.errors import DataError

GREY8 = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
GREY16 = np.array([[0, 1, 258], [4095, 65534, 65535]], dtype=np.uint16)


def write_pgm(path: Path, pixels: np.ndarray, maximum: int, comment: str = "") -> Path:
    height, width = pixels.shape
    stored = pixels.astype(">u2" if maximum > 255 else "u1").tobytes()
    path.write_bytes(f"P5\n{comment}{width} {height}\n{maximum}\n".encode() + stored)
    return path


@pytest.mark.parametrize(
    ("pixels", "name", "options"),
    [
        (GREY8, "a.png", {}),
        (GREY16, "a.png", {}),
        (GREY8, "a.tif", {}),
        (GREY16, "a.tif", {}),
        (GREY16, "a.tif", {"compression": "tiff_lzw"}),
    ],
)
def test_png_and_tiff_keep_every_bit(tmp_path, pixels, name, options):
    path = tmp_path / name
    Image.fromarray(pixels).save(path, **options)
    read = read_image(path)
    assert read.dtype == pixels.dtype
    np.testing.assert_array_equal(read, pixels)
    assert read_header(path)[:2] == (2, 3)


@pytest.mark.parametrize(
    ("pixels", "maximum"), [(GREY8, 255), (GREY8, 200), (GREY16, 65535), (GREY16 // 17, 4095)]
)
def test_pgm_keeps_values_whatever_its_maximum(tmp_path, pixels, maximum):
    path = write_pgm(tmp_path / "a.pgm", pixels, maximum, comment="# of two\n# lines\n")
    read = read_image(path)
    assert read.dtype == (np.uint16 if maximum > 255 else np.uint8)
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, pixels)
    assert read_header(path)[:2] == (2, 3)


def test_16_bit_pgm_is_big_endian(tmp_path):
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 1 1 65535\n\x01\x02")
    assert read_image(path).tolist() == [[258]]


def test_rgb_only_where_grey(tmp_path):
    rgb = np.repeat(GREY8[..., None], 3, axis=2)
    Image.fromarray(rgb).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), GREY8)
    rgb[0, 0, 1] += 1
    Image.fromarray(rgb).save(tmp_path / "colour.png")
    with pytest.raises(DataError, match="must be grey, but is in colour"):
        read_image(tmp_path / "colour.png")


def test_one_bit_png_is_0_and_1(tmp_path):
    Image.fromarray(GREY8 > 100).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == [[0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize("read", [read_image, read_header])
def test_truncated_pgm_names_expected_and_found_bytes(tmp_path, read):
    path = write_pgm(tmp_path / "a.pgm", GREY16, 65535)
    path.write_bytes(path.read_bytes()[:-5])
    message = f"{path}: truncated: 2 x 3 pixels need 12 bytes after the header, but found 7"
    with pytest.raises(DataError, match=re.escape(message)):
        read(path)


def test_truncated_png_names_file_and_bytes(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))}: .*64 x 64.*1000 bytes found"):
        read_image(path)


@pytest.mark.parametrize("read", [read_image, read_header])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be a DICOM, PNG, PGM, TIFF or JPEG"),
        (b"not an image", "must be a DICOM, PNG, PGM, TIFF or JPEG"),
        (b"P5 99999999 99999999 255\n", f"1 to {MAX_PIXELS} pixels"),
        (b"P5 0 4 255\n", "header says 4 x 0"),
        (b"P5 1 1 70000\n\0\0", "maximum must be 1 to 65535"),
        (b"P5 1", "must begin with P5, width, height and maximum"),
        (b"P2 1 1 255\n7\n", "must be a DICOM, PNG, PGM, TIFF or JPEG"),
    ],
)
def test_bad_headers(tmp_path, read, content, message):
    path = tmp_path / "a.pgm"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_image(tmp_path / "a.png")
    with pytest.raises(DataError, match="must be a regular file"):
        read_header(tmp_path)[:2]


@pytest.mark.parametrize("mode", ["P", "RGBA", "F", "I"])
def test_other_modes_are_refused(tmp_path, mode):
    path = tmp_path / "a.tif"
    Image.fromarray(GREY8).convert(mode).save(path)
    with pytest.raises(DataError, match=f"must be grey of 8 or 16 bits, but has mode {mode}"):
        read_image(path)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")  # says it is damaged
@given(data=st.data())
def test_damaged_files_give_pixels_or_a_data_error(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    path = folder / data.draw(st.sampled_from(["fuzz.png", "fuzz.tif", "fuzz.pgm"]))
    if path.suffix == ".pgm":
        write_pgm(path, GREY16, 65535)
    else:
        Image.fromarray(GREY16).save(path)
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(position, len(content)))])
    message = f"{path}: read"
    try:
        read_image(path)
    except DataError as error:  # any other error fails the test
        message = str(error)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message


def test_a_blank_line_before_the_pixels_as_ddsm_tools_wrote_it(tmp_path):
    path = tmp_path / "a.16_PGM"
    path.write_bytes(b"P5\n2 1\n65535\n\n\x01\x02\x03\x04")
    assert read_image(path).tolist() == [[0x0102, 0x0304]]
    path.write_bytes(b"P5\n2 1\n65535\n\x01\x02\x03\x04\n")  # after them: usual
    assert read_image(path).tolist() == [[0x0102, 0x0304]]
    path.write_bytes(b"P5\n2 1\n65535\n\n\x02\x03\x04\n")
    with pytest.raises(DataError, match="1 bytes too many, before or after"):
        read_image(path)


def test_values_above_the_maximum_are_refused(tmp_path):
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5\n2 1\n100\n\x01\x65")
    with pytest.raises(DataError, match="values must be at most 100, but one is 101"):
        read_image(path)


def test_bytes_too_many_are_shifted_pixels(tmp_path):
    path = tmp_path / "a.pgm"
    for end in (b"\x07", b"\n\n", b"\n\r", b"\x07\n"):
        path.write_bytes(b"P5\n2 1\n255\n\x01\x65" + end)
        with pytest.raises(DataError, match="bytes too many, which is no line's end"):
            read_image(path)
    path.write_bytes(b"P5\n2 1\n255\n\x01\x65\r\n")
    assert read_image(path).tolist() == [[1, 101]]


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d[: len(d) // 2] + b"\xff\xd9",
        lambda d: d[: len(d) // 2] + d[len(d) // 2 + 40 :],
        lambda d: d[: len(d) // 2] + bytes(40) + d[len(d) // 2 :],
        lambda d: d[: len(d) // 2],
    ],
    ids=["cut and ended", "deleted", "inserted", "cut"],
)
def test_a_damaged_jpeg_is_refused_though_libjpeg_would_fill_it_up(tmp_path, damage):
    pixels = np.random.default_rng(0).integers(0, 256, (120, 90), dtype=np.uint8)
    path = tmp_path / "a.jpg"
    Image.fromarray(pixels).save(path, quality=95)
    assert np.abs(read_image(path).astype(int) - pixels).mean() < 5
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="damaged or truncated"):
        read_image(path)


def test_what_is_no_file_or_too_large_is_refused_before_it_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="must be a regular file"):
        read_header(tmp_path / "pipe.png")
    with (tmp_path / "sparse.dcm").open("wb") as stream:
        stream.truncate(2**28 + 1)
    for read in (read_header, read_image):
        with pytest.raises(DataError, match="must have at most 268435456 bytes"):
            read(tmp_path / "sparse.dcm")
