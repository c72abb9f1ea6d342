"""DDSM's LJPEG files: lossless JPEG by the PVRG encoder, which bends the standard in one row.

It predicts with selection value 7, the mean of the left and the upper neighbour, from the second
pixel of the first row on, and takes the row above the first as 2^(P-1). The standard (ISO/IEC
10918-1, H.1.2.1) predicts the first row from the left alone, so that standard decoders drift.
Here a library decodes, the coded differences are recovered, and summed up again by PVRG's rule.

h, w = height and width, H, W the same of the whole image, in pixels; P = bits of a pixel.
"""

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from mtlbench.data.pixels.base import ImageHeader, Pixels, check_size
from mtlbench.data.pixels.jpeg import (
    LOSSLESS,
    JpegStream,
    cost_table,
    damage,
    differences,
    parse_jpeg,
)
from mtlbench.errors import DataError

_END = b"\xff\xd9"
_PADDING_BITS = 15
"""No whole file of DDSM was at hand: its encoder may pad by a byte more than the standard's."""
_HALF_16 = 1 << 15
_HEADER_BYTES = 1 << 16
"""Bytes within which the frame's header ends."""
_MEAN = 7
"""Selection value of the mean of the left and the upper neighbour."""


def read_ljpeg_header(path: Path) -> ImageHeader:
    """Read height and width.

    Raises:
        DataError: this is no lossless JPEG of one channel, or its header is damaged.
    """
    with path.open("rb") as file:
        stream = _stream(path, file.read(_HEADER_BYTES))
    return ImageHeader(stream.height, stream.width)


def read_ljpeg(path: Path) -> Pixels:
    """Decode to uint16 HW.

    Raises:
        DataError: no lossless JPEG, damaged, or cut off.
    """
    stream, coded_hw = _decoded(path)
    if fault := damage(stream, coded_hw, _PADDING_BITS):
        rows = _whole_rows(stream, coded_hw)
        raise DataError(f"{path}: {fault}; {rows} of {stream.height} rows are whole")
    return _pvrg_sum(differences(stream, coded_hw, 0, stream.height), stream.precision)


def salvage_ljpeg(path: Path) -> tuple[Pixels, int]:
    """Decode what a cut-off file holds: uint16 HW, 0 from the first broken row on, and their count.

    Raises:
        DataError: no lossless JPEG, or its header is damaged.
    """
    stream, coded_hw = _decoded(path)
    rows = _whole_rows(stream, coded_hw)
    pixels_HW = np.zeros(coded_hw.shape, dtype=np.uint16)
    if rows:
        pixels_HW[:rows] = _pvrg_sum(differences(stream, coded_hw, 0, rows), stream.precision)
    return pixels_HW, stream.height - rows


def encode_ljpeg(pixels_HW: NDArray[np.uint16], precision: int) -> bytes:
    """Encode two columns or more as PVRG did; `precision` is P, the bits of a pixel."""
    half = 1 << (precision - 1)
    above_hw = np.vstack([np.full_like(pixels_HW[:1], half), pixels_HW[:-1]]).astype(np.int64)
    difference_hw = pixels_HW - above_hw
    difference_hw[:, 1:] = pixels_HW[:, 1:] - ((above_hw[:, 1:] + pixels_HW[:, :-1]) >> 1)
    # The library codes 16 bits by the standard: give it the pixels that have these differences,
    # and correct the precision that it wrote.
    first_w = _HALF_16 + np.cumsum(difference_hw[0])
    difference_hw[0, 1:] = first_w[1:] - ((_HALF_16 + (first_w[:-1] & 0xFFFF)) >> 1)
    standard_hw = _pvrg_sum((difference_hw & 0xFFFF).astype(np.uint16), 16)
    encoded = bytearray(
        imagecodecs.jpeg8_encode(standard_hw, lossless=True, predictor=_MEAN, bitspersample=16)
    )
    encoded[encoded.index(bytes((0xFF, LOSSLESS))) + 4] = precision
    return bytes(encoded)


def _stream(path: Path, data: bytes) -> JpegStream:
    try:
        stream = parse_jpeg(data)
    except ValueError as error:
        raise DataError(f"{path}: must be an LJPEG file, but {error}") from None
    if stream.frame != LOSSLESS or stream.components != 1 or stream.predictor != _MEAN:
        raise DataError(f"{path}: must be a lossless JPEG of one channel with predictor {_MEAN}")
    if not 2 <= stream.precision <= 16 or stream.restarts or stream.shift:
        raise DataError(f"{path}: must be 2 to 16 bits deep, without restarts or shift")
    check_size(path, stream.height, stream.width)
    return stream


def _decoded(path: Path) -> tuple[JpegStream, NDArray[np.uint16]]:
    """Decode by the standard; what a cut-off stream lacks is anything."""
    data = path.read_bytes()
    stream = _stream(path, data)
    try:
        coded_hw = imagecodecs.jpeg8_decode(data if stream.ended else data + _END)
    except Exception as error:  # the library's own
        raise DataError(f"{path}: damaged LJPEG file: {error}") from None
    if coded_hw.shape != (stream.height, stream.width):
        raise DataError(f"{path}: damaged LJPEG file: decoded to {coded_hw.shape}")
    return stream, coded_hw.astype(np.uint16, copy=False)


def _whole_rows(stream: JpegStream, coded_hw: NDArray[np.uint16]) -> int:
    """Count the rows whose coded bits are all there."""
    cost_hw = cost_table(stream)[differences(stream, coded_hw, 0, stream.height)]
    needed_h = np.cumsum(cost_hw.sum(axis=1, dtype=np.int64))
    return int(np.searchsorted(needed_h, stream.coded_bits, side="right"))


def _pvrg_sum(difference_hw: NDArray[np.uint16], precision: int) -> NDArray[np.uint16]:
    """Sum differences up by PVRG's rule, modulo 65,536.

    A pixel needs its left and upper neighbours, which lie on the diagonal before its own: all
    pixels of a diagonal are computed at once.
    """
    height, width = difference_hw.shape
    diagonals = _by_diagonal(difference_hw)
    before = np.full(width, 1 << (precision - 1), dtype=np.uint32)
    for k, diagonal_w in enumerate(diagonals):
        low, high = max(1, k - height + 1), min(k, width - 1) + 1
        mean = (before[low - 1 : high - 1] + before[low:high]) >> 1
        first = (before[0] + diagonal_w[0]) & 0xFFFF
        before[low:high] = (mean + diagonal_w[low:high]) & 0xFFFF
        if k < height:
            before[0] = first
        diagonal_w[:] = before
    return np.ascontiguousarray(_rows_of(diagonals, height))


def _by_diagonal(array_hw: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Give h + w - 1 rows: pixel (i, j) goes to row i + j, column j."""
    height, width = array_hw.shape
    diagonals = np.zeros((height + width - 1, width), dtype=np.uint16)
    _rows_of(diagonals, height)[...] = array_hw
    return diagonals


def _rows_of(diagonals: NDArray[np.uint16], height: int) -> Any:
    """View the diagonals as the image's rows, h x w."""
    row, item = diagonals.strides
    shape = height, diagonals.shape[1]
    return np.lib.stride_tricks.as_strided(diagonals, shape, (row, row + item))
