"""Image files as they are stored: grey, 8 or 16 bits, PNG, PGM or TIFF, without loss.

H, W = height and width in pixels.
"""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mtlbench.errors import DataError

Pixels = NDArray[np.uint8] | NDArray[np.uint16]

MAX_PIXELS = 2**26
"""Largest image that is decoded (8192 x 8192): a header that claims more is taken as damaged."""
_PGM_HEADER = re.compile(rb"P5(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s")
_PGM_HEADER_BYTES = 4096
_GREY_MODES = ("1", "L", "I;16", "I;16L", "I;16B")


def read_image(path: Path) -> Pixels:
    """Decode a grey image to uint8 or uint16 HW, in the values that the file holds.

    RGB is accepted where its channels are equal. A 1-bit PNG gives 0 and 1.

    Raises:
        DataError: the file is absent, damaged, cut off, not grey, or above `MAX_PIXELS`.
    """
    return _read_pgm(path) if _is_pgm(path) else _read_with_pillow(path)


def image_size(path: Path) -> tuple[int, int]:
    """Height and width from the header; a PGM that is cut off is noticed here already.

    Raises:
        DataError: the file is absent, its header damaged, or its size above `MAX_PIXELS`.
    """
    if _is_pgm(path):
        height, width, *_ = _pgm_layout(path)
        return height, width
    with _open(path) as image:
        return image.height, image.width


def _is_pgm(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(2) == b"P5"
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _pgm_layout(path: Path) -> tuple[int, int, np.dtype[Any], int]:
    """Height, width, stored type and offset of the pixels."""
    with path.open("rb") as stream:
        header = _PGM_HEADER.match(stream.read(_PGM_HEADER_BYTES))
    if header is None:
        raise DataError(f"{path}: a PGM must begin with P5, width, height and maximum")
    width, height, maximum = (int(number) for number in header.groups())
    if not 1 <= maximum <= 65535:
        raise DataError(f"{path}: a PGM's maximum must be 1 to 65535, but got {maximum}")
    _check_size(path, height, width)
    dtype = np.dtype(">u2") if maximum > 255 else np.dtype("u1")
    expected = height * width * dtype.itemsize
    found = path.stat().st_size - header.end()
    if found < expected:
        raise DataError(
            f"{path}: truncated: {height} x {width} pixels need {expected} bytes after the "
            f"header, but found {found}"
        )
    return height, width, dtype, header.end()


def _read_pgm(path: Path) -> Pixels:
    height, width, dtype, offset = _pgm_layout(path)
    stored_HW = np.fromfile(path, dtype, height * width, offset=offset).reshape(height, width)
    return _unsigned(stored_HW)


def _open(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images from another size on; _check_size refuses them.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=("PNG", "TIFF"))
    except Exception as error:  # on a damaged file Pillow raises nearly anything
        found = path.stat().st_size
        raise DataError(
            f"{path}: must be a PNG, PGM or TIFF image, but cannot be read as one "
            f"({found} bytes: {_reason(error, path)})"
        ) from None
    _check_size(path, image.height, image.width)
    return image


def _read_with_pillow(path: Path) -> Pixels:
    with _open(path) as image:
        try:
            frames = getattr(image, "n_frames", 1)  # a PNG has no such attribute
            image.load()
        except Exception as error:  # as above
            raise DataError(
                f"{path}: damaged or truncated: {image.height} x {image.width} pixels of mode "
                f"{image.mode} expected, {path.stat().st_size} bytes found: {_reason(error, path)}"
            ) from None
        if frames != 1:
            raise DataError(f"{path}: must hold one image, but holds {frames}")
        if image.mode == "RGB":
            return _grey_of_rgb(path, np.asarray(image))
        if image.mode not in _GREY_MODES:
            raise DataError(f"{path}: must be grey of 8 or 16 bits, but has mode {image.mode}")
        pixels_HW = np.asarray(image)
    return _unsigned(pixels_HW)


def _unsigned(pixels_HW: NDArray[Any]) -> Pixels:
    """Native byte order; a 1-bit image becomes 0 and 1."""
    if pixels_HW.itemsize == 2:
        return pixels_HW.astype(np.uint16, copy=False)
    return pixels_HW.astype(np.uint8, copy=False)


def _grey_of_rgb(path: Path, rgb_HW3: NDArray[np.uint8]) -> Pixels:
    if not (rgb_HW3 == rgb_HW3[..., :1]).all():
        raise DataError(f"{path}: must be grey, but is in colour (its RGB channels differ)")
    return np.ascontiguousarray(rgb_HW3[..., 0])


def _check_size(path: Path, height: int, width: int) -> None:
    if not 0 < height * width <= MAX_PIXELS:
        raise DataError(
            f"{path}: an image must have 1 to {MAX_PIXELS} pixels, "
            f"but the header says {height} x {width}"
        )


def _reason(error: Exception, path: Path) -> str:
    return " ".join(str(error).replace(str(path), "file").split()) or type(error).__name__
