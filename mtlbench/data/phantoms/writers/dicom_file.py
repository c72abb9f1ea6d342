"""A digital mammogram as a DICOM file (PS3.3 A.26), the same bytes for the same image.

Names and dates in the header are made up: whatever reads such files must keep them to itself.
H, W = height and width in pixels.
"""

from pathlib import Path
from typing import Any, Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
    generate_uid,
)

from mtlbench.data.mammogram import Mammogram

Photometric = Literal["MONOCHROME1", "MONOCHROME2"]
NAME, DATE = "Phantom^Secret", "19010203"
"""In every header; must never come out of it."""
_DOWN = {"CC": {"left": "R", "right": "L"}, "MLO": {"left": "FR", "right": "FL"}}
"""Where columns run to: medially or to the feet."""


def write_dicom(
    path: Path,
    pixels_HW: NDArray[np.uint16],
    drawn: Mammogram,
    *,
    bits: int,
    syntax: UID = ExplicitVRLittleEndian,
    photometric: Photometric = "MONOCHROME2",
) -> None:
    """Write one view of a phantom.

    Args:
        path: The new file.
        pixels_HW: Values to store, below 2 to the power of `bits`; for a right breast with the
            chest wall at the right border.
        drawn: Whose view it is.
        bits: Stored bits of the 16 allocated ones.
        syntax: Uncompressed (explicit VR, little endian), JPEG lossless, JPEG 2000 or RLE.
        photometric: MONOCHROME1 says that low values are bright.
    """
    dataset = _header(drawn, bits, photometric)
    dataset.Rows, dataset.Columns = pixels_HW.shape
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == RLELossless:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(
            RLELossless, pixels_HW, encoding_plugin="pydicom", generate_instance_uid=False
        )
    elif syntax.is_encapsulated:
        dataset.PixelData = encapsulate([_encoded(pixels_HW, bits, syntax)])
    else:
        dataset.PixelData = pixels_HW.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OB" if syntax.is_encapsulated else "OW"
    dataset.save_as(path, enforce_file_format=True)


def _header(drawn: Mammogram, bits: int, photometric: Photometric) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[drawn.image_id])
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[drawn.exam_id])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[drawn.image_id, "series"])
    dataset.PatientName, dataset.PatientID = NAME, "Secret"
    dataset.PatientBirthDate = dataset.StudyDate = dataset.ContentDate = DATE
    dataset.Modality, dataset.PresentationIntentType = "MG", "FOR PRESENTATION"
    dataset.Manufacturer, dataset.ManufacturerModelName = "Phantom", drawn.scanner
    dataset.ImageLaterality, dataset.ViewPosition = drawn.side[0].upper(), drawn.view
    dataset.PatientOrientation = [
        "A" if drawn.side == "left" else "P",
        _DOWN[drawn.view][drawn.side],
    ]
    dataset.ImagerPixelSpacing = [f"{drawn.spacing_mm:.6g}"] * 2
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = 0
    dataset.WindowCenter, dataset.WindowWidth = 2 ** (bits - 1), 2**bits
    return dataset


def _encoded(pixels_HW: NDArray[np.uint16], bits: int, syntax: UID) -> Any:
    if syntax == JPEGLosslessSV1:
        return imagecodecs.jpeg8_encode(pixels_HW, lossless=True, predictor=1, bitspersample=bits)
    assert syntax == JPEG2000Lossless
    return imagecodecs.jpeg2k_encode(
        pixels_HW, level=0, reversible=True, codecformat="j2k", bitspersample=bits, numthreads=1
    )
