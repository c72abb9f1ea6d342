"""A JPEG stream before and after a library decodes it: its header, and whether it was whole.

libjpeg fills up what a damaged or cut-off stream lacks and says nothing. A lossless image can be
checked afterwards: its pixels tell how many bits they took, and that is how many there must be.
ISO/IEC 10918-1, annexes B and H.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtlbench.data.pixels.base import Pixels

_STAND_ALONE = {0x01, *range(0xD0, 0xD9)}
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
LOSSLESS, JPEG_LS = 0xC3, 0xF7
_ROWS = 128
"""Rows that are counted at a time: they stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class JpegStream:
    """The header of a JPEG of one scan; `coded` is what follows it, up to the end of the image."""

    frame: int
    """Second byte of the frame's marker: 0xC3 is lossless, 0xF7 JPEG-LS."""
    precision: int
    height: int
    width: int
    components: int
    predictor: int
    shift: int
    """Point transform: low bits that were cut off before coding."""
    restarts: bool
    code_lengths: dict[int, int]
    """Bits of the Huffman code of each category."""
    coded: memoryview
    ended: bool
    """Whether the end-of-image marker is there."""

    @property
    def coded_bits(self) -> int:
        """Bits of the coded data without stuffed zeros (a zero after each 0xFF)."""
        data = np.frombuffer(self.coded, dtype=np.uint8)
        return 8 * (len(data) - int(np.count_nonzero(data == 0xFF)))


def parse_jpeg(data: bytes) -> JpegStream:
    """Read the markers up to the first scan.

    Raises:
        ValueError: this is no JPEG, or its header is damaged.
    """
    if data[:2] != b"\xff\xd8":
        raise ValueError("it does not begin as a JPEG")
    at, frame, lengths, restarts = 2, None, dict[int, int](), False
    while True:
        marker, segment, at = _segment(data, at)
        if marker in _FRAMES:
            frame = marker, *_unpacked(">BHHB", segment)
        elif marker == 0xC4 and not lengths:
            lengths = _code_lengths(segment)
        elif marker == 0xDD:
            restarts = restarts or any(segment)
        elif marker == 0xDA:
            break
    if frame is None or len(segment) < 4:
        raise ValueError("a JPEG's frame and scan must have headers")
    end = data.rfind(b"\xff\xd9", at)
    coded = memoryview(data)[at : end if end >= 0 else len(data)]
    kind, precision, height, width, components = frame
    return JpegStream(
        kind, precision, height, width, components, segment[-3], segment[-1] & 15, restarts,
        lengths, coded, end >= 0,
    )  # fmt: skip


def _segment(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Give the marker at `at`, what it holds, and where the next one begins."""
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] == b"\xff":
        at += 1
    if data[at : at + 1] != b"\xff" or at + 4 > len(data):
        raise ValueError(f"a JPEG marker must stand at byte {at}")
    marker = data[at + 1]
    if marker in _STAND_ALONE:
        return marker, b"", at + 2
    end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    if end > len(data) or end < at + 4:
        raise ValueError(f"the JPEG segment at byte {at} must end within the file")
    return marker, data[at + 4 : end], end


def _unpacked(form: str, segment: bytes) -> tuple[int, ...]:
    if len(segment) < struct.calcsize(form):
        raise ValueError("a JPEG's frame header is cut off")
    return struct.unpack_from(form, segment)


def _code_lengths(segment: bytes) -> dict[int, int]:
    """Category → bits of its code, from the first Huffman table."""
    counts, values = segment[1:17], segment[17:]
    lengths = [length for length, count in enumerate(counts, start=1) for _ in range(count)]
    return dict(zip(values, lengths, strict=False))


def damage(stream: JpegStream, pixels_HW: Pixels, padding_bits: int = 7) -> str:
    """Say what is wrong with a decoded image; empty where the stream was whole.

    Of lossless streams without restart markers the bits are counted, of which up to
    `padding_bits` may be too many (F.1.2.3: fewer than a byte); of others the end is looked for.
    """
    countable = stream.frame == LOSSLESS and not stream.restarts and not stream.shift
    if not countable:
        return "" if stream.ended else "cut off: the end-of-image marker is missing"
    needed, found = coded_bits(stream, pixels_HW), stream.coded_bits
    if needed > found:
        word = "damaged" if stream.ended else "cut off"
        return f"{word}: its pixels need {needed} bits of coded data, but {found} were found"
    if found - needed > padding_bits:
        return f"damaged: its pixels need {needed} bits of coded data, but {found} were found"
    return ""


def coded_bits(stream: JpegStream, pixels_HW: Pixels) -> int:
    """Count the bits that a lossless image takes with the stream's Huffman table.

    A difference of magnitude 2^k or more is of a category above k: the cost of category 0 for
    all, and from category to category the step for those above it.
    """
    costs = _costs(stream)
    steps = [after - before for before, after in pairwise(costs)]
    bits = costs[0] * pixels_HW.size
    for top in range(0, len(pixels_HW), _ROWS):
        bits += _bits_of_steps(differences(stream, pixels_HW, top, top + _ROWS), steps)
    return bits


def _bits_of_steps(difference_hw: NDArray[np.uint16], steps: Sequence[int]) -> int:
    size_hw = np.abs(difference_hw.view(np.int16)).view(np.uint16)
    bits = 0
    for k, step in enumerate(steps):
        if not step:
            continue
        count = int(np.count_nonzero(size_hw >= (1 << k)))
        bits += step * count
        if not count:
            break
    return bits


def cost_table(stream: JpegStream) -> NDArray[np.uint8]:
    """Bits of each of the 65,536 differences."""
    values = np.arange(1 << 16, dtype=np.uint32)
    size = np.minimum(values, (1 << 16) - values)
    category = np.where(size > 0, np.log2(np.maximum(size, 1)).astype(int) + 1, 0)
    return np.array(_costs(stream), dtype=np.uint8)[category]


def _costs(stream: JpegStream) -> list[int]:
    """Bits of a difference of each category: its code and, below 16, as many bits as it says."""
    codes = [stream.code_lengths.get(category, 0) for category in range(17)]
    return [code + category % 16 for category, code in enumerate(codes)]


def differences(stream: JpegStream, pixels_HW: Pixels, top: int, bottom: int) -> NDArray[np.uint16]:
    """Differences of the rows from `top` on to their predictions, modulo 65,536 (H.1.2)."""
    rows = pixels_HW[top:bottom].astype(np.uint16, copy=False)
    half = np.uint16(1 << (stream.precision - 1))
    before = pixels_HW[top - 1 : top] if top else np.full((1, 1), half)
    out = np.empty(rows.shape, dtype=np.uint16)
    out[0, 0] = (int(rows[0, 0]) - int(before[0, 0])) & 0xFFFF
    np.subtract(rows[1:, 0], rows[:-1, 0], out=out[1:, 0])
    start = 0
    if top == 0:  # nothing above: the left neighbour
        np.subtract(rows[0, 1:], rows[0, :-1], out=out[0, 1:])
        start = 1
    above = pixels_HW[top + start - 1 : top + len(rows) - 1].astype(np.uint16, copy=False)
    guess = _prediction(stream.predictor, rows[start:, :-1], above[:, 1:], above[:, :-1])
    np.subtract(rows[start:, 1:], guess, out=out[start:, 1:])
    return out


def _prediction(predictor: int, left: Any, above: Any, corner: Any) -> Any:
    """Table H.1: the selection values 1 to 7."""
    match predictor:
        case 1:
            return left
        case 2:
            return above
        case 3:
            return corner
        case 4:
            return left + above - corner
        case 5:
            return left + _half(above, corner)
        case 6:
            return above + _half(left, corner)
        case _:
            return ((left.astype(np.uint32) + above) >> 1).astype(np.uint16)


def _half(one: Any, other: Any) -> Any:
    return ((one.astype(np.int32) - other) >> 1).astype(np.uint16)
