"""One image to its prepared arrays: oriented, resampled, lesions painted by class.

h, w = native height and width, H, W = prepared ones, in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mtlbench.config import IGNORED
from mtlbench.data.check import errors, examine
from mtlbench.data.index import Masks, Row, case_row, fully_located, lesion_rows
from mtlbench.data.mammogram import Finding, Lesion, Mammogram
from mtlbench.data.pixels import Pixels
from mtlbench.data.resample import Placement, place, resample_image, resample_mask

OtherLesions = Literal["ignore", "healthy", "mass"]
PRECEDENCE = (IGNORED, 1, 3, 2, 4)
"""Where lesions overlap the later wins: malignant over benign, calcification over mass."""
PLACEMENT_COLUMNS = ("flipped", "scale", "top")
"""Native x becomes (w-1-x if flipped else x) * scale, and y becomes y * scale + top."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A prepared image with its rows; the arrays are None where a finding is an error."""

    image_HW: Pixels | None
    mask_HW: NDArray[np.uint8] | None
    row: Row
    lesion_rows: list[Row]
    findings: list[Finding]
    digest: str


def convert(mammogram: Mammogram, size: tuple[int, int], other_lesions: OtherLesions) -> Converted:
    """Decode, turn the chest wall to the left, fit into `size`, paint the lesions."""
    seen = examine(mammogram)
    rows = lesion_rows(mammogram, seen.masks)
    row = case_row(mammogram, seen.masks)
    if seen.pixels is None or errors(seen.findings):
        return Converted(None, None, row, rows, seen.findings, seen.digest)
    placement = place((mammogram.height, mammogram.width), size)
    flipped = _chest_wall_right(mammogram, seen.pixels)
    row |= {"flipped": int(flipped), "scale": round(placement.scale, 9), "top": placement.top}
    image_hw = seen.pixels[:, ::-1] if flipped else seen.pixels
    masks = [None if m is None else m[:, ::-1] if flipped else m for m in seen.masks]
    if fully_located(mammogram, masks):
        mask_HW = paint(mammogram.lesions, masks, placement, other_lesions)
    else:
        mask_HW = np.full(size, IGNORED, dtype=np.uint8)
    image_HW = resample_image(image_hw, placement)
    return Converted(image_HW, mask_HW, row, rows, seen.findings, seen.digest)


def paint(
    lesions: Sequence[Lesion], masks: Masks, placement: Placement, other_lesions: OtherLesions
) -> NDArray[np.uint8]:
    """Draw lesions into a class mask, uint8 HW, in the order of `PRECEDENCE`; the rest is 0."""
    mask_HW = np.zeros(placement.size, dtype=np.uint8)
    values = [_mask_value(lesion, other_lesions) for lesion in lesions]
    for drawn in PRECEDENCE:
        for value, mask_hw in zip(values, masks, strict=True):
            if value == drawn and mask_hw is not None:
                mask_HW[resample_mask(mask_hw, placement)] = value
    return mask_HW


def _mask_value(lesion: Lesion, other_lesions: OtherLesions) -> int:
    if lesion.type == "other" and other_lesions == "healthy":
        return 0
    if lesion.type == "other" and other_lesions == "mass":
        lesion = Lesion("mass", lesion.pathology, lesion.outline)
    return lesion.mask_class or IGNORED


def _chest_wall_right(mammogram: Mammogram, pixels_hw: Pixels) -> bool:
    """As the adapter knows it, else the brighter half: the breast widens to the chest wall."""
    if mammogram.chest_wall:
        return mammogram.chest_wall == "right"
    half = mammogram.width // 2
    sums = pixels_hw[:, :half].sum(), pixels_hw[:, mammogram.width - half :].sum()
    return bool(sums[1] > sums[0])
