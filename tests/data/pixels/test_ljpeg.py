"""LJPEG against a slow coder and decoder written for this test, bit by bit, by PVRG's rule."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mtlbench.data.pixels import read_header, read_image, salvage_image
from mtlbench.data.pixels.ljpeg import encode_ljpeg
from mtlbench.errors import DataError

TABLE = bytes([0, 0, 0, 0, 15, 1, 1, *[0] * 10, *range(17)])
"""A Huffman table of all 17 categories: 0 to 14 in 4 bits, then 11110 and 111110."""
SHAPES = [(1, 1), (1, 9), (9, 1), (7, 5), (40, 30)]


@pytest.fixture(scope="module")
def real_ljpeg(real_data: Path) -> Path:
    """A real scan, 4334 x 1874, cut off at 204,800 bytes."""
    return real_data / "ddsm" / "A_0002" / "A_0002_1.RIGHT_CC.LJPEG"


def segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Marker, contents, and where they end, up to the scan."""
    at = 2
    while True:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        yield data[at + 1], data[at + 4 : at + 2 + length], at + 2 + length
        if data[at + 1] == 0xDA:
            return
        at += 2 + length


def huffman_codes(table: bytes) -> dict[str, int]:
    """Bits of each code → category (ISO/IEC 10918-1, C.2: codes count up, length by length)."""
    codes, code, values = {}, 0, iter(table[17:])
    for length in range(1, 17):
        for _ in range(table[length]):
            codes[f"{code:0{length}b}"] = next(values)
            code += 1
        code <<= 1
    return codes


def slow_rows(data: bytes) -> Iterator[list[int]]:
    """Decode row by row, as long as the bits last."""
    found = {marker: (contents, end) for marker, contents, end in segments(data)}
    frame, codes = found[0xC3][0], huffman_codes(found[0xC4][0])
    precision, width = frame[0], int.from_bytes(frame[3:5], "big")
    coded = data[found[0xDA][1] :].removesuffix(b"\xff\xd9").replace(b"\xff\x00", b"\xff")
    bits = "".join(f"{byte:08b}" for byte in coded)
    at, above = 0, [1 << (precision - 1)] * width
    while True:
        row: list[int] = []
        for x in range(width):
            end = at + 1
            while bits[at:end] not in codes:
                end += 1
                if end > min(len(bits), at + 16):
                    return
            size = codes[bits[at:end]]
            at = end + size % 16
            if at > len(bits):
                return
            guess = above[0] if x == 0 else (row[-1] + above[x]) >> 1
            row.append((guess + difference(size, bits[end:at])) & 0xFFFF)
        yield row
        above = row


def difference(size: int, bits: str) -> int:
    """Tables H.1 and H.2: a first bit of 0 stands for a negative difference."""
    if size % 16 == 0:
        return 32768 if size else 0
    return int(bits, 2) if bits[0] == "1" else int(bits, 2) - (1 << size) + 1


def slow_encode(pixels_HW: NDArray[np.uint16], precision: int) -> bytes:
    """Code with TABLE."""
    category_codes = {size: bits for bits, size in huffman_codes(TABLE).items()}
    height, width = pixels_HW.shape
    bits, above = "", [1 << (precision - 1)] * width
    for row in pixels_HW.tolist():
        for x, value in enumerate(row):
            guess = above[0] if x == 0 else (row[x - 1] + above[x]) >> 1
            step = (value - guess + 32767) % 65536 - 32767
            bits += category_codes[abs(step).bit_length()] + own_bits(step)
        above = row
    bits += "1" * (-len(bits) % 8)
    coded = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    frame = bytes([precision, *divmod(height, 256), *divmod(width, 256), 1, 1, 0x11, 0])
    return (
        b"\xff\xd8\xff\xc3\x00\x0b" + frame + b"\xff\xc4\x00\x24" + TABLE
        + b"\xff\xda\x00\x08\x01\x01\x00\x07\x00\x00" + coded.replace(b"\xff", b"\xff\x00")
        + b"\xff\xd9"
    )  # fmt: skip


def own_bits(step: int) -> str:
    """Say which difference of its category it is; categories 0 and 16 have but one."""
    size = abs(step).bit_length()
    low = step if step > 0 else step + (1 << size) - 1
    return f"{low:0{size}b}" if size % 16 else ""


def noise(shape: tuple[int, int], precision: int) -> NDArray[np.uint16]:
    """Draw every value, both ends included."""
    pixels = np.random.default_rng(0).integers(0, 1 << precision, shape, dtype=np.uint16)
    pixels[0, 0], pixels[-1, -1] = 0, (1 << precision) - 1
    return pixels


def read(folder: Path, data: bytes) -> NDArray[np.uint16]:
    path = folder / "a.LJPEG"
    path.write_bytes(data)
    pixels = read_image(path)
    assert pixels.dtype == np.uint16
    assert read_header(path)[:2] == pixels.shape
    return pixels.astype(np.uint16)


def test_the_real_file_gives_the_rows_of_the_slow_decoder(real_ljpeg: Path) -> None:
    expected = np.array(list(slow_rows(real_ljpeg.read_bytes())))
    pixels, missing = salvage_image(real_ljpeg)
    assert pixels.shape == (4334, 1874)
    assert 50 < len(expected) == 4334 - missing
    np.testing.assert_array_equal(pixels[: len(expected)], expected)
    assert not pixels[len(expected) :].any()


def test_the_real_file_is_refused_as_cut_off(real_ljpeg: Path) -> None:
    message = r"LJPEG: cut off: its pixels need \d+ bits of coded data, but \d+ were found; \d+ of"
    with pytest.raises(DataError, match=message):
        read_image(real_ljpeg)


def test_the_last_cut_byte_is_noticed(tmp_path: Path) -> None:
    data = slow_encode(noise((9, 7), 12), 12)
    for end in range(len(data) - 3, len(data) - 30, -1):
        with pytest.raises(DataError, match=r"cut off|damaged"):
            read(tmp_path, data[:end])
    (tmp_path / "a.LJPEG").write_bytes(data[: len(data) * 2 // 3])
    pixels, missing = salvage_image(tmp_path / "a.LJPEG")
    assert 0 < missing < 9
    np.testing.assert_array_equal(pixels[: 9 - missing], noise((9, 7), 12)[: 9 - missing])


@pytest.mark.parametrize("precision", [12, 16])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_the_slow_coder_wrote_is_read(
    tmp_path: Path, precision: int, shape: tuple[int, int]
) -> None:
    pixels = noise(shape, precision)
    np.testing.assert_array_equal(read(tmp_path, slow_encode(pixels, precision)), pixels)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[1] > 1])
@pytest.mark.parametrize("precision", [12, 16])
def test_what_we_wrote_is_read_by_both(
    tmp_path: Path, precision: int, shape: tuple[int, int]
) -> None:
    pixels = noise(shape, precision)
    data = encode_ljpeg(pixels, precision)
    np.testing.assert_array_equal(read(tmp_path, data), pixels)
    np.testing.assert_array_equal(np.array(list(slow_rows(data))), pixels)


def test_flipped_bits_are_refused_or_spell_another_image(tmp_path: Path) -> None:
    """JPEG has no check sum: a flip among a difference's own bits is as good a stream.

    The library takes a code that is in no table for category 0. Where the bits then happen to
    add up that goes unnoticed: of the flips in 30 x 20 pixels of noise, 20 of 8,508.
    """
    rng = np.random.default_rng(0)
    ramp = np.add.outer(np.arange(0, 90, 3), np.arange(0, 40, 2)) + rng.integers(0, 9, (30, 20))
    data = slow_encode(ramp.astype(np.uint16), 12)
    first = next(end for marker, _, end in segments(data) if marker == 0xDA)
    refused = accepted = 0
    for bit in range(8 * first, 8 * (len(data) - 2), 5):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 0x80 >> bit % 8
        if 0xFF in (flipped[bit // 8], data[bit // 8]):
            continue  # makes or breaks a marker
        try:
            pixels = read(tmp_path, bytes(flipped))
        except DataError:
            refused += 1
        else:
            accepted += 1
            np.testing.assert_array_equal(pixels, np.array(list(slow_rows(bytes(flipped)))))
    assert refused > accepted > 0


def test_a_flipped_code_is_refused(tmp_path: Path) -> None:
    data = bytearray(slow_encode(np.full((8, 6), 2048, dtype=np.uint16), 12))
    data[-6] ^= 0x10
    with pytest.raises(DataError, match="damaged: its pixels need"):
        read(tmp_path, bytes(data))
