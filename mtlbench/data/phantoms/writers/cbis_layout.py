"""Where the files of CBIS-DDSM lie: on disk in two layouts, and in the CSVs."""

import hashlib
from typing import NamedTuple

from mtlbench.data.adapters.cbis_ddsm.rows import Kind, Part
from mtlbench.data.mammogram import Lesion, Mammogram

FULL, CROP, MASK = "full mammogram images", "cropped images", "ROI mask images"
"""SeriesDescriptions."""
_FOLDERS = {"mass": "Mass", "calc": "Calc", "train": "Training", "test": "Test"}


class View(NamedTuple):
    """An image of the collection: one view of a breast with its lesions of one kind."""

    drawn: Mammogram
    patient: int
    """Number among the patients, from 1."""
    kind: Kind
    part: Part
    lesions: tuple[Lesion, ...]
    classic: bool
    """Whether its files lie as they did first, or under descriptive names."""

    @property
    def patient_id(self) -> str:
        """The collection's name of the patient."""
        return f"P_{self.patient:05d}"

    @property
    def name(self) -> str:
        """The image's folder: its image_id."""
        place = f"{self.patient_id}_{self.drawn.side.upper()}_{self.drawn.view}"
        return f"{_FOLDERS[self.kind]}-{_FOLDERS[self.part]}_{place}"


class Place(NamedTuple):
    """One image file: where it lies, and where the CSV has it."""

    view: View
    folder: str
    description: str

    @property
    def is_alone(self) -> bool:
        """Crop and mask of a lesion share a series, but those of every third patient."""
        return self.description == FULL or self.view.patient % 3 == 0

    @property
    def study(self) -> str:
        """StudyInstanceUID."""
        return uid_of(f"{self.folder} study")

    @property
    def series(self) -> str:
        """SeriesInstanceUID."""
        return uid_of(f"{self.folder} {self.description if self.is_alone else 'series'}")

    @property
    def csv_number(self) -> int:
        """Masses have their crop first, calcifications their mask."""
        first = CROP if self.view.kind == "mass" else MASK
        return int(not self.is_alone and self.description != first)

    @property
    def number(self) -> int:
        """The number on disk: that of the CSV for every second patient only."""
        as_listed = self.is_alone or self.view.patient % 2
        return self.csv_number if as_listed else 1 - self.csv_number

    @property
    def csv_path(self) -> str:
        """The path by which the CSV names the file."""
        return f"{self.folder}/{self.study}/{self.series}/{self.csv_number:06d}.dcm"

    @property
    def dicom_path(self) -> str:
        """The classic layout, or the descriptive one, which names a series after its crop."""
        if self.view.classic:
            return f"CBIS-DDSM/{self.folder}/{self.study}/{self.series}/{self.number:06d}.dcm"
        described = self.description if self.is_alone else CROP
        series = f"1-{described}-{self.series[-5:]}"
        study = f"07-20-2016-DDSM-{self.study[-5:]}"
        return f"manifest-1/CBIS-DDSM/{self.folder}/{study}/{series}/1-{self.number + 1}.dcm"


def uid_of(name: str) -> str:
    """Derive a UID from a name (PS3.5 B.2: 2.25 and a 128-bit number)."""
    return f"2.25.{int.from_bytes(hashlib.sha256(name.encode()).digest()[:16])}"
