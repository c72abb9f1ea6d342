"""PGM files (binary, `P5`), 8 bits or 16 with the high byte first.

H, W = height and width in pixels.
"""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from mtlbench.data.pixels.base import ImageHeader, Pixels, check_size, unsigned
from mtlbench.errors import DataError

_PGM_HEADER = re.compile(rb"P5(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s")
_PGM_HEADER_BYTES = 4096
_MAX_TRAILING = 2
"""Bytes that may follow the pixels: a line's end."""


def read_pgm_header(path: Path) -> ImageHeader:
    """Read height and width; a file that is cut off is noticed here already.

    Raises:
        DataError: the header is damaged, or pixels are missing.
    """
    height, width, *_ = _pgm_layout(path)
    return ImageHeader(height, width)


def _pgm_layout(path: Path) -> tuple[int, int, np.dtype[Any], int, int]:
    """Height, width, stored type, offset of the pixels, and largest value."""
    with path.open("rb") as stream:
        header = _PGM_HEADER.match(stream.read(_PGM_HEADER_BYTES))
    if header is None:
        raise DataError(f"{path}: a PGM must begin with P5, width, height and maximum")
    width, height, maximum = (int(number) for number in header.groups())
    if not 1 <= maximum <= 65535:
        raise DataError(f"{path}: a PGM's maximum must be 1 to 65535, but got {maximum}")
    check_size(path, height, width)
    dtype = np.dtype(">u2") if maximum > 255 else np.dtype("u1")
    expected = height * width * dtype.itemsize
    found = path.stat().st_size - header.end()
    if found < expected:
        raise DataError(
            f"{path}: truncated: {height} x {width} pixels need {expected} bytes after the "
            f"header, but found {found}"
        )
    offset = header.end() + _blank_line(path, header.end(), found - expected)
    return height, width, dtype, offset, maximum


def _blank_line(path: Path, start: int, surplus: int) -> int:
    """Give 1 where a blank line stands before the pixels, as DDSM's tools wrote, else 0.

    One byte too many tells it from a first pixel. After the pixels a line's end may follow;
    anything else that is too many means that pixels are shifted.
    """
    if surplus == 0:
        return 0
    with path.open("rb") as stream:
        stream.seek(start)
        first = stream.read(1)
        stream.seek(-min(surplus, _MAX_TRAILING + 1), os.SEEK_END)
        last = stream.read()
    before, after = surplus == 1 and first == b"\n", last in (b"\n", b"\r\n")
    if before == after:
        word = "before or after the pixels: which?" if before else "which is no line's end"
        raise DataError(f"{path}: damaged: {surplus} bytes too many, {word}")
    return int(before)


def read_pgm(path: Path) -> Pixels:
    """Decode to uint8 or uint16 HW.

    Raises:
        DataError: the header is damaged, pixels are missing, or lie above the header's maximum.
    """
    height, width, dtype, offset, maximum = _pgm_layout(path)
    stored_HW = np.fromfile(path, dtype, height * width, offset=offset).reshape(height, width)
    if (found := int(stored_HW.max())) > maximum:
        raise DataError(f"{path}: damaged: values must be at most {maximum}, but one is {found}")
    return unsigned(stored_HW)
