"""Image files to pixels as stored: DICOM, PNG, PGM, TIFF, JPEG, and DDSM's LJPEG.

Which reader a file needs is told by its first bytes, not by its name; LJPEG alone looks like any
JPEG and is told by its suffix.
"""

import stat
from pathlib import Path

from mtlbench.config import Intensity
from mtlbench.data.pixels.base import MAX_PIXELS, ImageHeader, Pixels, Table
from mtlbench.data.pixels.dicom import dicom_tone, is_dicom, read_dicom, read_dicom_header
from mtlbench.data.pixels.ljpeg import read_ljpeg, read_ljpeg_header, salvage_ljpeg
from mtlbench.data.pixels.pgm import read_pgm, read_pgm_header
from mtlbench.data.pixels.raster import read_raster, read_raster_header
from mtlbench.errors import DataError

MAX_BYTES = 2**28
"""Largest file that is read at all: the largest image has half as many bytes."""

__all__ = [
    "MAX_PIXELS", "ImageHeader", "Pixels", "Table", "file_tone", "plain_tone", "read_header",
    "read_image", "salvage_image",
]  # fmt: skip


def read_image(path: Path) -> Pixels:
    """Decode a grey image to uint8 or uint16 HW, in the values that the file holds.

    RGB is accepted where its channels are equal. A 1-bit PNG gives 0 and 1.

    Raises:
        DataError: the file is absent, damaged, cut off, not grey, or above `MAX_PIXELS`.
    """
    start = _start(path)
    if is_dicom(start):
        return read_dicom(path)
    if start[:2] == b"P5":
        return read_pgm(path)
    return read_ljpeg(path) if _is_ljpeg(path) else read_raster(path)


def read_header(path: Path) -> ImageHeader:
    """Read a file's size and what else it says; pixels are not decoded.

    Raises:
        DataError: the file is absent, its header damaged, or its size above `MAX_PIXELS`.
    """
    start = _start(path)
    if is_dicom(start):
        return read_dicom_header(path)
    if start[:2] == b"P5":
        return read_pgm_header(path)
    return read_ljpeg_header(path) if _is_ljpeg(path) else read_raster_header(path)


def salvage_image(path: Path) -> tuple[Pixels, int]:
    """Decode what a cut-off LJPEG holds; rows that are missing are 0, and counted.

    Raises:
        DataError: the file is none that can be salvaged.
    """
    _start(path)
    if not _is_ljpeg(path):
        raise DataError(f"{path}: only the rows of an LJPEG file can be salvaged")
    return salvage_ljpeg(path)


def plain_tone(intensity: Intensity) -> Table | None:
    """Grey levels of a file that says nothing of them: as stored.

    Raises:
        DataError: anything but `raw`.
    """
    if intensity != "raw":
        raise DataError(f'intensity "{intensity}" needs a DICOM header or a known digitiser')
    return None


def file_tone(path: Path, intensity: Intensity) -> Table | None:
    """Give the table from a file's stored values to grey levels; None: as stored.

    Raises:
        DataError: the file says nothing of this intensity.
    """
    return dicom_tone(path, intensity) if is_dicom(_start(path)) else plain_tone(intensity)


def _is_ljpeg(path: Path) -> bool:
    return path.suffix.lower() == ".ljpeg"


def _start(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path}: must be a regular file")
        if status.st_size > MAX_BYTES:
            raise DataError(f"{path}: must have at most {MAX_BYTES} bytes, not {status.st_size}")
        with path.open("rb") as stream:
            return stream.read(132)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
