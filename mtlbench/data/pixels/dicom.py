"""DICOM files: header, pixels as stored, and the tables that turn them into grey levels.

Names, dates and other values of the header never reach a message. H, W = height and width in
pixels.
"""

import logging
import math
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset, read_file_meta_info, read_preamble
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, RLELossless

from mtlbench.config import Intensity
from mtlbench.data.pixels.base import ImageHeader, Pixels, Table, check_size, unsigned
from mtlbench.data.pixels.codecs import DECODERS
from mtlbench.data.pixels.voi import VoiError, has_voi, modality_values, voi_shares
from mtlbench.errors import DataError

_TOP = 65535
_MAX_INFLATED = 2**28
"""Bytes to which a deflated file may grow."""
_ORIENTATION = re.compile(r"[AP][HFLR]*")

# What cannot be read is told below, by us and without the value.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL)


def is_dicom(start: bytes) -> bool:
    """Tell a DICOM file (part 10) by its first 132 bytes."""
    return start[128:132] == b"DICM"


def read_dicom_header(path: Path) -> ImageHeader:
    """Read what the header says, checked as far as decoding relies on it.

    Raises:
        DataError: damaged, or not one grey image of unsigned integers.
    """
    with _faults(path):
        dataset = _read(path, pixels=False)
        height, width = _checked_size(path, dataset)
        return ImageHeader(
            height,
            width,
            spacing_mm=_spacing(dataset),
            chest_wall=_chest_wall(dataset),
            scanner=_text(dataset, "Manufacturer", "ManufacturerModelName"),
            series=_text(dataset, "SeriesDescription"),
        )


def read_dicom(path: Path) -> Pixels:
    """Decode the pixels as stored, uint8 or uint16 HW.

    Raises:
        DataError: damaged, cut off, too large, or not one grey image of unsigned integers.
    """
    with _faults(path):
        dataset = _read(path, pixels=True)
        height, width = _checked_size(path, dataset)
        if "PixelData" not in dataset:
            raise DataError(f"{path}: cut off or damaged: it holds no pixel data")
        pixels_HW = unsigned(_decoded(path, dataset, height, width))
        top = (1 << dataset.BitsStored) - 1
        if pixels_HW.shape != (height, width) or pixels_HW.max() > top:
            raise DataError(
                f"{path}: must hold {height} x {width} pixels up to {top}, but holds "
                f"{' x '.join(map(str, pixels_HW.shape))} up to {pixels_HW.max()}"
            )
        return pixels_HW


def dicom_tone(path: Path, intensity: Intensity) -> Table | None:
    """Give the table from stored values to grey levels, bright = dense; None: as stored.

    `raw` turns MONOCHROME1 round; `window` applies the modality LUT or rescale and the first VOI
    LUT or window (PS3.3 C.11.1 and C.11.2), and spreads its range over 0 to 65,535.

    Raises:
        DataError: the header has nothing of the kind.
    """
    if intensity == "optical-density":
        raise DataError(f"{path}: optical density is known for the films of ddsm only")
    with _faults(path):
        dataset = _read(path, pixels=False)
        _checked_size(path, dataset)
        inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
        if intensity == "window":
            return _window_table(path, dataset, inverted)
        if not inverted:
            return None
        top = (1 << dataset.BitsStored) - 1
        table_V = np.arange(top, -1, -1)
        return table_V.astype(np.uint8) if top < 256 else table_V.astype(np.uint16)


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file raises in pydicom into a DataError without the file's values."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or 'cut off'}") from None
    except Exception as error:
        raise DataError(f"{path}: damaged DICOM file ({type(error).__name__})") from None


def _read(path: Path, *, pixels: bool) -> pydicom.Dataset:
    if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        return _read_deflated(path)
    return pydicom.dcmread(path, stop_before_pixels=not pixels)


def _read_deflated(path: Path) -> pydicom.Dataset:
    """Inflate within bounds: pydicom would let a small file fill the memory."""
    with path.open("rb") as stream:
        read_preamble(stream, force=False)
        meta = read_dataset(stream, False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        content = inflater.decompress(stream.read(), _MAX_INFLATED)
    if inflater.unconsumed_tail:
        raise DataError(f"{path}: must inflate to at most {_MAX_INFLATED} bytes")
    if not inflater.eof:
        raise DataError(f"{path}: cut off: the deflated data do not end")
    dataset = read_dataset(BytesIO(content), False, True)
    dataset.file_meta = FileMetaDataset(meta)
    return dataset


def _checked_size(path: Path, dataset: pydicom.Dataset) -> tuple[int, int]:
    """Give height and width of what must be one grey image of unsigned integers."""
    height, width = _integer(path, dataset, "Rows"), _integer(path, dataset, "Columns")
    check_size(path, height, width)
    allocated, stored, high, signed, samples = (
        _integer(path, dataset, name)
        for name in (
            "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
        )
    )  # fmt: skip
    if allocated not in (8, 16) or not 1 <= stored <= allocated or high != stored - 1:
        raise DataError(
            f"{path}: must store the low bits of 8 or 16, but the header says {stored} of "
            f"{allocated} bits, the highest {high}"
        )
    kind = dataset.get("PhotometricInterpretation")
    if signed or samples != 1 or kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise DataError(f"{path}: must be a grey image (MONOCHROME1 or 2) of unsigned integers")
    frames = dataset.get("NumberOfFrames")
    if frames not in (None, "", 1):
        raise DataError(f"{path}: must hold one frame, but holds several")
    return height, width


def _integer(path: Path, dataset: pydicom.Dataset, name: str) -> int:
    value = dataset.get(name)
    if not isinstance(value, int):
        raise DataError(f"{path}: damaged DICOM header: {name} must be a whole number")
    return value


def _decoded(path: Path, dataset: pydicom.Dataset, height: int, width: int) -> Any:
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    if syntax in DECODERS:
        return _decompressed(path, dataset, syntax, height, width)
    if syntax.is_encapsulated:
        name = syntax if syntax.is_valid else "in the header"
        raise DataError(f"{path}: the transfer syntax {name} is none that can be decoded")
    _check_length(path, dataset, height, width)
    _check_end(path, dataset)
    return _uncompressed(dataset, syntax.is_little_endian)[: height * width].reshape(height, width)


def _decompressed(
    path: Path, dataset: pydicom.Dataset, syntax: UID, height: int, width: int
) -> Any:
    frames = list(generate_frames(dataset.PixelData, number_of_frames=1))
    if len(frames) != 1:
        raise DataError(f"{path}: must hold one frame, but holds {len(frames)}")
    try:
        pixels_HW = DECODERS[syntax](frames[0], height, width)
    except Exception as error:  # each library has its own
        raise DataError(f"{path}: {syntax.name}: {error}") from None
    if syntax == RLELossless and 8 * pixels_HW.itemsize != dataset.BitsAllocated:
        raise DataError(
            f"{path}: RLE Lossless: must have a plane for each 8 of {dataset.BitsAllocated} bits, "
            f"but has {pixels_HW.itemsize}"
        )
    return pixels_HW


def _uncompressed(dataset: pydicom.Dataset, little_endian: bool) -> Any:
    """Values in native byte order; of 8 bits there may be one more, for padding."""
    data, order = dataset.PixelData, "<" if little_endian else ">"
    if dataset.BitsAllocated == 16:
        return np.frombuffer(data, dtype=f"{order}u2").astype(np.uint16)
    if dataset["PixelData"].VR == "OW":  # two in a word, the first one in its low byte
        data = np.frombuffer(data, dtype=f"{order}u2").astype("<u2").tobytes()
    return np.frombuffer(data, dtype=np.uint8).copy()


def _check_length(path: Path, dataset: pydicom.Dataset, height: int, width: int) -> None:
    """An uncompressed image has as many bytes as its size says, to the next even number."""
    expected = height * width * dataset.BitsAllocated // 8
    if (found := len(dataset.PixelData)) != expected + expected % 2:
        raise DataError(
            f"{path}: cut off or damaged: {height} x {width} pixels of {dataset.BitsAllocated} "
            f"bits need {expected} bytes, but found {found}"
        )


def _check_end(path: Path, dataset: pydicom.Dataset) -> None:
    """Whole elements, or nothing, follow the pixels: anything else means that they are shifted."""
    if dataset.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        return  # its places are those of the inflated data
    last: Any = dataset.get_item(max(dataset.keys()))
    start, length = last.file_tell, len(dataset.PixelData)
    if isinstance(last, RawDataElement):  # its length is what it says, not what was read
        start, length = last.value_tell, last.length
    if start + length != path.stat().st_size:
        raise DataError(f"{path}: damaged: the last element must end where the file ends")


def _window_table(path: Path, dataset: pydicom.Dataset, inverted: bool) -> Table:
    if not has_voi(dataset):
        raise DataError(f'{path}: intensity "window" needs a window or VOI LUT in the header')
    stored_V = np.arange(float(1 << dataset.BitsStored))
    try:
        share_V = voi_shares(modality_values(stored_V, dataset), dataset)
    except VoiError as error:
        raise DataError(f"{path}: {error}") from None
    return np.floor((1 - share_V if inverted else share_V) * _TOP + 0.5).astype(np.uint16)


def _spacing(dataset: pydicom.Dataset) -> float | None:
    """Edge of a square pixel in mm: at the detector, else on film."""
    spacing = dataset.get("ImagerPixelSpacing") or dataset.get("PixelSpacing")
    if not spacing or len(spacing) != 2:
        return None
    row_mm, column_mm = (float(value) for value in spacing)
    square = row_mm > 0 and math.isfinite(row_mm) and abs(column_mm / row_mm - 1) < 0.01
    return row_mm if square else None


def _chest_wall(dataset: pydicom.Dataset) -> Literal["left", "right", ""]:
    """Rows run to the anterior (A) or posterior (P) of the patient (PS3.3 C.7.6.1.1.1)."""
    orientation = dataset.get("PatientOrientation") or [""]
    along_rows = orientation if isinstance(orientation, str) else str(orientation[0])
    if not _ORIENTATION.fullmatch(along_rows):
        return ""
    return "left" if along_rows[0] == "A" else "right"


def _text(dataset: pydicom.Dataset, *names: str) -> str:
    return " ".join(" ".join(str(dataset.get(name) or "").split()) for name in names).strip()
