"""One image as every adapter yields it: `Mammogram`, its `Lesion`s, and their outlines.

H, W = height and width in pixels; image coordinates have their origin at the top left pixel's
centre, x is the column, y the row.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mtlbench.data.pixels import Pixels, read_image
from mtlbench.errors import DataError

Mask = NDArray[np.bool_]
LesionType = Literal["mass", "calcification", "other"]
Pathology = Literal["benign", "malignant", "unproven"]


class Outline(Protocol):
    """Where a lesion lies; picklable, as preparation runs in several processes."""

    kind: ClassVar[str]
    """`polygon`, `chain`, `circle`, `box`, `mask` or `point`."""

    def rasterise(self, height: int, width: int) -> Mask:
        """Give the lesion's pixels in an image of this size, as bool HW."""
        ...


@dataclass(frozen=True, slots=True)
class Circle:
    """A disc; `radius` in pixels."""

    kind: ClassVar[str] = "circle"
    x: float
    y: float
    radius: float

    def rasterise(self, height: int, width: int) -> Mask:
        """Pixels whose centre lies in the disc, or the nearest one, as bool HW."""
        rows, columns = np.ogrid[:height, :width]
        mask = (columns - self.x) ** 2 + (rows - self.y) ** 2 <= self.radius**2
        return _at_least_one(mask, self.x, self.y)


@dataclass(frozen=True, slots=True)
class Polygon:
    """A closed outline through `points`, (x, y) each."""

    kind: ClassVar[str] = "polygon"
    points: tuple[tuple[float, float], ...]

    def rasterise(self, height: int, width: int) -> Mask:
        """Pixels whose centre lies inside by the even-odd rule, or the nearest one, as bool HW."""
        mask = np.zeros((height, width), dtype=bool)
        x0, y0 = np.asarray(self.points, dtype=float).T
        x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
        first = max(int(np.ceil(y0.min())), 0)
        last = min(int(np.floor(y0.max())), height - 1)
        for row in range(first, last + 1):
            crosses = (y0 <= row) != (y1 <= row)
            t = (row - y0[crosses]) / (y1[crosses] - y0[crosses])
            x = np.sort(x0[crosses] + t * (x1[crosses] - x0[crosses]))
            for left, right in zip(x[::2], x[1::2], strict=True):
                start, stop = int(np.ceil(left)), int(np.floor(right)) + 1
                mask[row, max(start, 0) : max(stop, 0)] = True
        return _at_least_one(mask, float(x0.mean()), float(y0.mean()))


@dataclass(frozen=True, slots=True)
class MaskFile:
    """An image file of the same size as the mammogram; the pixels of `value`, or all above 0."""

    kind: ClassVar[str] = "mask"
    path: Path
    value: int | None = None

    def rasterise(self, height: int, width: int) -> Mask:
        """Give the file's pixels as bool HW.

        Raises:
            DataError: the file is unreadable or has another size than the image.
        """
        pixels = read_image(self.path)
        if pixels.shape != (height, width):
            raise DataError(
                f"{self.path}: mask and image must have the same size, but the mask is "
                f"{pixels.shape[0]} x {pixels.shape[1]} and the image {height} x {width}"
            )
        return pixels > 0 if self.value is None else pixels == self.value


def _at_least_one(mask: Mask, x: float, y: float) -> Mask:
    """Mark the pixel at (x, y) if no other is: a lesion below a pixel does not vanish."""
    row, column = round(y), round(x)
    if not mask.any() and 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]:
        mask[row, column] = True
    return mask


@dataclass(frozen=True, slots=True)
class Lesion:
    """A finding; `outline` is None where it is known but not located."""

    type: LesionType
    pathology: Pathology | None
    outline: Outline | None

    @property
    def mask_class(self) -> int | None:
        """The class 1..4 of `config.CLASSES`, None where the lesion is none of the four."""
        if self.type == "other" or self.pathology not in ("benign", "malignant"):
            return None
        return 1 + (self.pathology == "malignant") + 2 * (self.type == "calcification")


@dataclass(frozen=True, slots=True)
class Mammogram:
    """One image: who, which view, what is known of it, and how to read its pixels.

    `pixels()` returns H x W unsigned integers; it must be picklable, since preparation runs in
    several processes. `height` and `width` are 0 where they are not known (image absent or
    unreadable).
    """

    image_id: str
    patient_id: str
    pixels: Callable[[], Pixels] = field(compare=False, repr=False)
    height: int
    width: int
    exam_id: str = ""
    side: Literal["left", "right", ""] = ""
    view: str = ""
    label: int | None = None
    label_source: str = ""
    birads: str = ""
    density: str = ""
    scanner: str = ""
    split: Literal["train", "val", "test", ""] = ""
    spacing_mm: float | None = None
    has_mask: bool = True
    lesions: tuple[Lesion, ...] = ()
    path: str = ""
    """Relative to the data set's root; empty where there is no file."""
    origin: str = ""
    """The annotation file that speaks of this image, as findings name it."""
    row: int | None = None
    """Line of the first row in `origin`, counted from 1."""
    chest_wall: Literal["left", "right", ""] = ""
    """The image border at which the chest wall lies; empty: told from the pixels."""

    @property
    def place(self) -> str:
        """Where users find what is said of this image: `file:row`, or the image itself."""
        file = self.origin or self.path or self.image_id
        return file if self.row is None else f"{file}:{self.row}"

    def finding(self, level: Literal["error", "note"], message: str) -> "Finding":
        """Say something of this image at its place."""
        file = self.origin or self.path or self.image_id
        return Finding(level, file, self.row, f"{self.image_id}: {message}")


class Finding(NamedTuple):
    """Something `data check` reports: an error stops `prepare`, a note does not."""

    level: Literal["error", "note"]
    file: str
    row: int | None
    message: str

    def __str__(self) -> str:
        """`file:row: message`, as users read it."""
        return f"{self.file}{f':{self.row}' if self.row is not None else ''}: {self.message}"


class Index(NamedTuple):
    """What an adapter makes of a folder: its images, and what is odd or wrong about it."""

    mammograms: list[Mammogram]
    findings: list[Finding]
