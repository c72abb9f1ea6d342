"""Whether the decoders that mtlbench reads data sets with work on this machine.

A library encodes a small image, and the reader that data sets go through must give it back. What
cannot even be imported is told as well, so imports happen inside.
"""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

GREY_HW: NDArray[np.uint16] = np.arange(256, dtype=np.uint16).reshape(16, 16) * np.uint16(257)
FLAT_HW: NDArray[np.uint8] = np.full((16, 16), 128, np.uint8)
"""What a lossy JPEG keeps exactly."""


def faults() -> dict[str, str | None]:
    """Format → what is wrong with its decoder; None where it works."""
    return {name: _fault(trial) for name, (trial, _) in TRIALS.items()}


def _fault(trial: Callable[[], bool]) -> str | None:
    try:
        return None if trial() else "it does not give back what was encoded"
    except Exception as error:  # a library that is damaged or absent raises anything
        return f"{type(error).__name__}: {error}"


def _gives_back(syntax: str, encoded: bytes | bytearray, image_HW: NDArray[Any]) -> bool:
    from mtlbench.data.pixels.codecs import DECODERS

    return np.array_equal(DECODERS[syntax](bytes(encoded), *image_HW.shape), image_HW)


def _jpeg() -> bool:
    import simplejpeg
    from pydicom.uid import JPEGBaseline8Bit

    encoded = simplejpeg.encode_jpeg(FLAT_HW[..., None], colorspace="GRAY")
    return _gives_back(JPEGBaseline8Bit, encoded, FLAT_HW)


def _jpeg_lossless() -> bool:
    import imagecodecs
    from pydicom.uid import JPEGLosslessSV1

    encoded = imagecodecs.jpeg8_encode(GREY_HW, lossless=True, predictor=1, bitspersample=16)
    return _gives_back(JPEGLosslessSV1, encoded, GREY_HW)


def _jpeg_ls() -> bool:
    import imagecodecs
    from pydicom.uid import JPEGLSLossless

    return _gives_back(JPEGLSLossless, imagecodecs.jpegls_encode(GREY_HW), GREY_HW)


def _jpeg_2000() -> bool:
    import imagecodecs
    from pydicom.uid import JPEG2000Lossless

    encoded = imagecodecs.jpeg2k_encode(GREY_HW, level=0, reversible=True, codecformat="j2k")
    return _gives_back(JPEG2000Lossless, encoded, GREY_HW)


def _rle() -> bool:
    import imagecodecs
    from pydicom.uid import RLELossless

    header = np.zeros(16, "<u4")
    header[:2] = 1, 64
    plane = imagecodecs.packbits_encode(FLAT_HW.tobytes())
    return _gives_back(RLELossless, header.tobytes() + plane, FLAT_HW)


def _raster(suffix: str, **options: Any) -> Callable[[], bool]:
    def trial() -> bool:
        from PIL import Image

        from mtlbench.data.pixels.raster import read_raster

        with TemporaryDirectory() as scratch:
            path = Path(scratch) / f"image.{suffix}"
            Image.fromarray(GREY_HW).save(path, **options)
            return np.array_equal(read_raster(path), GREY_HW)

    return trial


def _xls() -> bool:
    import xlrd
    import xlwt

    book, stream = xlwt.Workbook(), BytesIO()
    book.add_sheet("a").write(0, 0, "text")
    book.save(stream)
    cell = xlrd.open_workbook(file_contents=stream.getvalue()).sheet_by_index(0).cell_value(0, 0)
    return bool(cell == "text")


TRIALS: dict[str, tuple[Callable[[], bool], str]] = {
    "JPEG": (_jpeg, "simplejpeg"),
    "JPEG lossless": (_jpeg_lossless, "imagecodecs"),
    "JPEG-LS": (_jpeg_ls, "imagecodecs"),
    "JPEG 2000": (_jpeg_2000, "imagecodecs"),
    "RLE": (_rle, "imagecodecs"),
    "PNG": (_raster("png"), "pillow"),
    "compressed TIFF": (_raster("tif", compression="tiff_lzw"), "pillow"),
    "XLS": (_xls, "xlrd"),
}
"""Format → its trial, and the package that decodes it."""
