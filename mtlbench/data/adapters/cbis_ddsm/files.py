"""The image files of CBIS-DDSM: where they lie, and which is full image, crop and mask.

Three editions: classic (`Mass-Training_P_00001_LEFT_CC/<uid>/<uid>/000000.dcm`), descriptive
(`Mass-Training_P_00001_LEFT_CC/<date and study>/<series>/1-1.dcm`), and JPEG
(`jpeg/<SeriesInstanceUID>/1-249.jpg`, described by `dicom_info.csv`). Numbers and folders of files
do not tell what they hold: folders called "ROI mask images" hold crops in the wild, and the CSVs
swap the numbers. What tells is the series' description together with the size.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from mtlbench.data.adapters.cbis_ddsm.rows import FOLDER, described, read_rows
from mtlbench.data.mammogram import Finding
from mtlbench.data.outlines import same_shape
from mtlbench.data.pixels import ImageHeader, read_header
from mtlbench.errors import DataError

INFO = "dicom_info.csv"
_INFO_COLUMNS = ("image path", "patientid", "seriesdescription")
_SUFFIXES = (".dcm", ".jpg", ".jpeg")
_SMALLEST = 0.5
"""Height of a mask in its image's heights: the smaller ones are crops of the same shape."""

Role = Literal["full", "crop", "mask", ""]
_ROLES: dict[str, Role] = {
    "full mammogram images": "full",
    "cropped images": "crop",
    "roi mask images": "mask",
}
"""SeriesDescription in lower case → what the file holds."""


class Description(NamedTuple):
    """What `dicom_info.csv` says of a JPEG."""

    series: str
    patient_id: str


class ImageFile(NamedTuple):
    """One image file with its size, and what it says to hold."""

    path: Path
    name: str
    """Relative to the root."""
    header: ImageHeader
    series: str

    @property
    def role(self) -> Role:
        """What the description says; empty where there is none."""
        return _ROLES.get(self.series.lower(), "")

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.header.height * self.header.width

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.header.height, self.header.width

    def has_shape_of(self, image: ImageHeader) -> bool:
        """Tell whether this may be a mask of the image in another size."""
        if not image.height or self.header.height < _SMALLEST * image.height:
            return False
        return same_shape(self.header[:2], image[:2])


@dataclass(frozen=True, slots=True)
class Files:
    """What lies below a root, found in one pass; symbolic links to folders are not followed."""

    root: Path
    tables: list[Path]
    """The case descriptions."""
    images: dict[str, list[Path]]
    """By the collection's folder in which a file lies, else the last folder (a series' UID)."""
    descriptions: dict[str, Description]
    """Of JPEGs, by the last two parts of their path."""
    findings: list[Finding]

    def of(self, folder: str, series: Sequence[str]) -> list[Path]:
        """Give the files of a folder of the collection, or else of these series."""
        if folder in self.images:
            return self.images[folder]
        return [path for uid in dict.fromkeys(series) for path in self.images.get(uid, [])]

    def open(self, path: Path, folder: str) -> ImageFile:
        """Read a file's header; `folder` is that of the collection to which it must belong.

        Raises:
            DataError: the file cannot be read, or is another folder's.
        """
        header = read_header(path)
        name = path.relative_to(self.root).as_posix()
        said = self.descriptions.get(f"{path.parent.name}/{path.name}")
        if said and said.patient_id not in ("", folder):
            raise DataError(f"{name}: must be an image of {folder}, but is not by {INFO}")
        return ImageFile(path, name, header, said.series if said else header.series)


def find_files(root: Path) -> Files:
    """Walk the folder once, and read what is said of JPEGs; other files are passed over."""
    tables, infos = list[Path](), list[Path]()
    images: defaultdict[str, list[Path]] = defaultdict(list)
    for place, folders, names in os.walk(root):
        folders.sort()
        folder = Path(place)
        parts = folder.relative_to(root).parts
        key = next((part for part in parts if FOLDER.fullmatch(part)), folder.name)
        for name in sorted(names):
            if described(name):
                tables.append(folder / name)
            elif name == INFO:
                infos.append(folder / name)
            elif name.lower().endswith(_SUFFIXES) and not name.startswith("."):
                images[key].append(folder / name)
    return Files(root, tables, dict(images), *_read_infos(root, infos))


def _read_infos(root: Path, infos: list[Path]) -> tuple[dict[str, Description], list[Finding]]:
    descriptions, findings = {}, list[Finding]()
    for path in infos:
        for row in read_rows(path, path.relative_to(root).as_posix(), _INFO_COLUMNS):
            findings += row.findings
            key = "/".join(row.text("image path").split("/")[-2:])
            descriptions[key] = Description(row.text("seriesdescription"), row.text("patientid"))
    return descriptions, findings


def choose_full(folder: str, files: Sequence[ImageFile]) -> ImageFile:
    """Give the full image among the files of an image.

    Raises:
        DataError: there is none, or several.
    """
    if not files:
        raise DataError(f"no such file: there must be a full image in a folder {folder}")
    full = [file for file in files if file.role in ("full", "")]
    full = [file for file in full if file.role] or full
    if not full:
        raise DataError(f"no full image: {files[0].name} is described as {files[0].series!r}")
    if len(full) > 1:
        raise DataError(f"must have one full image, but has {full[0].name} and {full[1].name}")
    return full[0]


def choose_mask(
    folder: str, files: Sequence[ImageFile], image: ImageHeader
) -> tuple[ImageFile, str, str]:
    """Give the mask among the files of a lesion, and what is odd about it with its consequence.

    The description and the size tell together; where they contradict each other, or there is no
    description, it is the file of the image's size, else of its shape, else the larger one.
    `image` has height 0 where it is not known.

    Raises:
        DataError: there is none, there are several, or it does not fit the image.
    """
    found = [file for file in files if file.role != "full"]
    if not found:
        raise DataError(f"no such file: there must be a mask in a folder {folder}")
    best = max(found, key=partial(_rank, image=image))
    rivals = [file.name for file in found if _rank(file, image) == _rank(best, image)]
    if len(rivals) > 1:
        raise DataError(f"must have one mask, but it may be {' or '.join(rivals)}")
    if best.size == image[:2]:
        odd = f"{best.name} has its image's size, but is described as {best.series!r}"
        return (best, odd, "taken as the mask") if best.role == "crop" else (best, "", "")
    if best.role != "mask" and len(found) == 1:
        raise DataError(f"no mask: {best.name} is a crop")
    if not image.height:
        return best, "", ""
    sizes = (
        f"the mask {best.name} is {best.header.height} x {best.header.width} and the image "
        f"{image.height} x {image.width}"
    )
    if not best.has_shape_of(image):
        raise DataError(f"mask and image must have the same size, but {sizes}")
    return best, f"a mask of another size: {sizes}", "stretched to the image"


def _rank(file: ImageFile, image: ImageHeader) -> tuple[bool, bool, bool, int]:
    return file.size == image[:2], file.has_shape_of(image), file.role == "mask", file.area
