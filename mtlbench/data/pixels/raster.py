"""PNG, TIFF and JPEG files as they are stored: grey, 8 or 16 bits.

H, W = height and width in pixels.
"""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mtlbench.data.pixels.base import ImageHeader, Pixels, check_size, unsigned
from mtlbench.data.pixels.codecs import decode_lossy_jpeg
from mtlbench.errors import DataError

_GREY_MODES = ("1", "L", "I;16", "I;16L", "I;16B")


def read_raster_header(path: Path) -> ImageHeader:
    """Read height and width.

    Raises:
        DataError: the file is damaged, or its size above `MAX_PIXELS`.
    """
    with _open(path) as image:
        return ImageHeader(image.height, image.width)


def _open(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images from another size on; _check_size refuses them.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=("PNG", "TIFF", "JPEG"))
    except Exception as error:  # on a damaged file Pillow raises nearly anything
        found = path.stat().st_size
        raise DataError(
            f"{path}: must be a DICOM, PNG, PGM, TIFF or JPEG image, but cannot be read as one "
            f"({found} bytes: {_reason(error, path)})"
        ) from None
    check_size(path, image.height, image.width)
    return image


def read_raster(path: Path) -> Pixels:
    """Decode to uint8 or uint16 HW; RGB is accepted where its channels are equal.

    Raises:
        DataError: the file is damaged, cut off, not grey, or above `MAX_PIXELS`.
    """
    with _open(path) as image:
        try:
            frames = getattr(image, "n_frames", 1)  # a PNG has no such attribute
            if image.format == "JPEG":  # Pillow takes what is damaged but ends well
                decode_lossy_jpeg(path.read_bytes())
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
    return unsigned(pixels_HW)


def _grey_of_rgb(path: Path, rgb_HW3: NDArray[np.uint8]) -> Pixels:
    if not (rgb_HW3 == rgb_HW3[..., :1]).all():
        raise DataError(f"{path}: must be grey, but is in colour (its RGB channels differ)")
    return np.ascontiguousarray(rgb_HW3[..., 0])


def _reason(error: Exception, path: Path) -> str:
    return " ".join(str(error).replace(str(path), "file").split()) or type(error).__name__
