"""Phantoms as CBIS-DDSM is distributed: four CSVs, and DICOM files.

The quirks of the original are in: views with masses and with calcifications are two images; paths
end in newlines; files are numbered otherwise than in the CSVs; folders are named after one of the
two files that they hold; a patient stands in both halves of the official split.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, SecondaryCaptureImageStorage

from mtlbench.config import DataConfig
from mtlbench.data.adapters.cbis_ddsm.rows import Kind
from mtlbench.data.adapters.phantom import read
from mtlbench.data.mammogram import Mammogram
from mtlbench.data.outlines import Mask
from mtlbench.data.phantoms.writers.cbis_layout import (
    CROP,
    FULL,
    MASK,
    Place,
    View,
    uid_of,
)
from mtlbench.errors import DataError
from mtlbench.records import write_csv

NAME = "Phantom^Secret"
"""A name in every header that must never come out of it."""
Grey = np.ndarray[tuple[int, int], np.dtype[np.uint8]]
_MARGIN = 8
"""Pixels around a lesion in its crop."""
_TYPES: dict[str, Kind] = {"mass": "mass", "calcification": "calc"}
_DESCRIPTORS = {
    ("mass", "malignant"): {"mass shape": "IRREGULAR", "mass margins": "SPICULATED"},
    ("mass", "benign"): {"mass shape": "OVAL", "mass margins": "CIRCUMSCRIBED"},
    ("calc", "malignant"): {"calc type": "PLEOMORPHIC", "calc distribution": "CLUSTERED"},
    ("calc", "benign"): {"calc type": "PUNCTATE", "calc distribution": "REGIONAL"},
}
_FIRST = ("left or right breast", "image view", "abnormality id", "abnormality type")
_LAST = (
    "assessment", "pathology", "subtlety", "image file path", "cropped image file path",
    "ROI mask file path",
)  # fmt: skip
_COLUMNS: dict[str, tuple[str, ...]] = {
    "mass": ("patient_id", "breast_density", *_FIRST, "mass shape", "mass margins", *_LAST),
    "calc": ("patient_id", "breast density", *_FIRST, "calc type", "calc distribution", *_LAST),
}


def write(folder: Path, config: DataConfig) -> None:
    """Write DICOMs, those of the first half of the patients in the classic layout, and `csv/`.

    Raises:
        DataError: no patient has a lesion, and CBIS-DDSM has no normal images.

    """
    views = views_of(folder, config)
    for place, pixels in images_of(views):
        path = folder / place.dicom_path
        path.parent.mkdir(parents=True, exist_ok=True)
        _dicom(place, pixels).save_as(path, enforce_file_format=True)
    write_descriptions(folder / "csv", views)


def views_of(folder: Path, config: DataConfig) -> list[View]:
    """Sort the drawn views into the collection's images; those without a lesion are left out.

    Raises:
        DataError: no patient has a lesion.
    """
    drawn = read(folder, config).mammograms
    kinds: dict[str, set[Kind]] = {}
    for mammogram in drawn:
        found = {_TYPES[lesion.type] for lesion in mammogram.lesions}
        kinds[mammogram.patient_id] = kinds.get(mammogram.patient_id, set()) | found
    if not any(kinds.values()):
        raise DataError(
            f"{folder}: CBIS-DDSM has images with lesions only, but none of {config.patients} "
            "phantom patients has one: more are needed"
        )
    leaking = next((patient for patient, found in kinds.items() if len(found) > 1), "")
    return [
        _view(mammogram, kind, leaking, config.patients)
        for mammogram in drawn
        for kind in sorted({_TYPES[lesion.type] for lesion in mammogram.lesions})
    ]


def _view(drawn: Mammogram, kind: Kind, leaking: str, patients: int) -> View:
    """Take the lesions of one kind; the leaking patient's masses are for training."""
    number = int(drawn.patient_id[1:])
    is_test = kind == "calc" if drawn.patient_id == leaking else number % 5 == 0
    return View(
        drawn=drawn,
        patient=number,
        kind=kind,
        part="test" if is_test else "train",
        lesions=tuple(lesion for lesion in drawn.lesions if _TYPES[lesion.type] == kind),
        classic=2 * number <= patients,
    )


def images_of(views: Sequence[View]) -> Iterator[tuple[Place, Grey]]:
    """Give each view's full image, and each lesion's crop and mask."""
    for view in views:
        pixels_HW = np.asarray(view.drawn.pixels(), dtype=np.uint8)
        yield Place(view, view.name, FULL), pixels_HW
        for number, lesion in enumerate(view.lesions, start=1):
            assert lesion.outline is not None
            mask_HW = lesion.outline.rasterise(*pixels_HW.shape).whole(*pixels_HW.shape)
            folder = f"{view.name}_{number}"
            yield Place(view, folder, CROP), pixels_HW[_around(mask_HW)]
            yield Place(view, folder, MASK), mask_HW * np.uint8(255)


def _around(mask_HW: Mask) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - _MARGIN), int(rows[-1]) + 1 + _MARGIN),
        slice(max(0, int(columns[0]) - _MARGIN), int(columns[-1]) + 1 + _MARGIN),
    )


def _dicom(place: Place, pixels_HW: Grey) -> Dataset:
    """Build a file with the elements of the originals; masks have 8 bits, the others 16."""
    bits = 8 if place.description == MASK else 16
    stored_HW = pixels_HW if bits == 8 else pixels_HW.astype("<u2") * 257
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data.SOPClassUID = SecondaryCaptureImageStorage
    data.SOPInstanceUID = uid_of(f"{place.folder} {place.description} instance")
    data.StudyDate, data.ContentDate = "20160720", "20160414"
    data.Modality, data.ConversionType, data.BodyPartExamined = "MG", "WSD", "BREAST"
    data.SeriesDescription = place.description
    data.PatientName, data.PatientID = NAME, place.folder
    data.StudyInstanceUID, data.SeriesInstanceUID = place.study, place.series
    data.StudyID, data.SeriesNumber, data.InstanceNumber = "DDSM", 1, place.number + 1
    data.PatientOrientation = place.view.drawn.view  # a view, not an orientation, as the originals
    data.Laterality = place.view.drawn.side[0].upper()
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = pixels_HW.shape
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation = 0
    stored = stored_HW.tobytes()
    data.PixelData = stored + b"\0" * (len(stored) % 2)
    return data


def write_descriptions(folder: Path, views: Sequence[View]) -> None:
    """Write the CSVs of case descriptions, one a kind and part."""
    for kind in ("mass", "calc"):
        for part in ("train", "test"):
            of = [view for view in views if (view.kind, view.part) == (kind, part)]
            rows = [row for view in of for row in _rows(view)]
            path = folder / f"{kind}_case_description_{part}_set.csv"
            write_csv(path, _COLUMNS[kind], rows)


def _rows(view: View) -> Iterator[dict[str, object]]:
    """Give a view's rows, one a lesion."""
    density = "breast_density" if view.kind == "mass" else "breast density"
    full, is_mass = Place(view, view.name, FULL), view.kind == "mass"
    for number, lesion in enumerate(view.lesions, start=1):
        pathology = lesion.pathology or ""
        crop, mask = (Place(view, f"{view.name}_{number}", what) for what in (CROP, MASK))
        unsuspected = pathology == "benign" and view.patient % 2 == 0
        yield {
            "patient_id": view.patient_id,
            density: view.drawn.density,
            "left or right breast": view.drawn.side.upper(),
            "image view": view.drawn.view,
            "abnormality id": number,
            "abnormality type": lesion.type,
            **_DESCRIPTORS[view.kind, pathology],
            "assessment": 5 if pathology == "malignant" else 2 if unsuspected else 3,
            "pathology": "BENIGN_WITHOUT_CALLBACK" if unsuspected else pathology.upper(),
            "subtlety": 3,
            "image file path": full.csv_path,
            "cropped image file path": crop.csv_path + ("" if is_mass else "\n"),
            "ROI mask file path": mask.csv_path + ("\n" if is_mass else ""),
        }
