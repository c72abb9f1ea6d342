"""One image as every adapter yields it: `Mammogram` and its `Lesion`s.

H, W = height and width in pixels; image coordinates have their origin at the top left pixel's
centre, x is the column, y the row.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from mtlbench.config import Intensity
from mtlbench.data.outlines import Outline
from mtlbench.data.pixels import Pixels, Table, plain_tone

LesionType = Literal["mass", "calcification", "other"]
Pathology = Literal["benign", "benign_without_callback", "malignant", "unproven"]
Side = Literal["left", "right", ""]
Level = Literal["error", "note"]


@dataclass(frozen=True, slots=True)
class Lesion:
    """A finding; `outline` is None where it is known but not located."""

    type: LesionType
    pathology: Pathology | None
    outline: Outline | None

    @property
    def mask_class(self) -> int | None:
        """The class 1..4 of `config.CLASSES`, None where the lesion is none of the four."""
        if self.type == "other" or self.pathology in ("unproven", None):
            return None
        return 1 + (self.pathology == "malignant") + 2 * (self.type == "calcification")


@dataclass(frozen=True, slots=True)
class Mammogram:
    """One image: who, which view, what is known of it, and how to read its pixels.

    `pixels()` returns H x W unsigned integers as stored, and `tone(intensity)` the table that
    turns them into grey levels; both must be picklable, since preparation runs in several
    processes. `height` and `width` are 0 where neither file nor annotation tells them.
    """

    image_id: str
    patient_id: str
    pixels: Callable[[], Pixels] = field(compare=False, repr=False)
    height: int
    width: int
    exam_id: str = ""
    side: Side = ""
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
    chest_wall: Side = ""
    """The image border at which the chest wall lies; empty: told from the pixels."""
    tone: Callable[[Intensity], Table | None] = field(default=plain_tone, compare=False, repr=False)
    """Stored value → grey level for one of `[data] intensity`; None: as stored."""
    film: str = ""
    """Names the picture where the data set holds it under several image ids; else empty."""

    @property
    def place(self) -> str:
        """Where users find what is said of this image: `file:row`, or the image itself."""
        file = self.origin or self.path or self.image_id
        return file if self.row is None else f"{file}:{self.row}"

    def finding(self, level: Level, message: str, action: str = "") -> "Finding":
        """Say something of this image at its place."""
        file = self.origin or self.path or self.image_id
        return Finding(level, file, self.row, message, self.image_id, action)


def label_of(pathologies: Iterable[Pathology | None]) -> int | None:
    """Give 1 for cancer, 0 for none, None where a lesion is unproven and none malignant."""
    found = set(pathologies)
    if "malignant" in found:
        return 1
    return None if found & {"unproven", None} else 0


class Finding(NamedTuple):
    """Something `data check` reports: an error stops `prepare`, a note does not."""

    level: Level
    file: str
    row: int | None
    message: str
    image_id: str = ""
    """The image that it speaks of; empty where it is no single one."""
    action: str = ""
    """What `prepare` does about it; empty: it stops at an error, and keeps a note's image."""

    def below(self, root: Path) -> "Finding":
        """Give it with the paths in its message relative to the data set's folder."""
        return self._replace(message=self.message.replace(f"{root}{os.sep}", ""))

    @property
    def consequence(self) -> str:
        """What `prepare` does about it, in words."""
        if self.action:
            return self.action
        if self.level == "note":
            return "kept"
        return "stops; --exclude-faulty leaves the image out" if self.image_id else "stops"

    def __str__(self) -> str:
        """`file:row: image: message: action`, as users read it."""
        place = f"{self.file}{f':{self.row}' if self.row is not None else ''}"
        parts = (place, self.image_id, self.message, self.action)
        return ": ".join(part for part in parts if part)


class Index(NamedTuple):
    """What an adapter makes of a folder: its images, and what is odd or wrong about it."""

    mammograms: list[Mammogram]
    findings: list[Finding]
    root: Path = Path()
