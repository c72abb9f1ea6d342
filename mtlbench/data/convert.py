"""One image to its prepared arrays: oriented, resampled, lesions painted by class.

h, w = native height and width, H, W = prepared ones, in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mtlbench.config import IGNORED, DataConfig
from mtlbench.data.breast import breast_box, breast_mask, whole_box
from mtlbench.data.check import errors, examine, lost
from mtlbench.data.index import Regions, Row, case_row, fully_located, lesion_rows
from mtlbench.data.mammogram import Finding, Lesion, Mammogram
from mtlbench.data.pixels import Pixels
from mtlbench.data.resize import Placement, place, resample_image, resample_region

_EVERY = 4
"""Of so many rows one is summed up to find the brighter half."""
OtherLesions = Literal["ignore", "healthy", "mass"]
PRECEDENCE = (IGNORED, 1, 3, 2, 4)
"""Where lesions overlap the later wins: malignant over benign, calcification over mass."""
PLACEMENT_COLUMNS = ("flipped", "flip_rule", "crop_top", "crop_left", "scale", "top")
"""Native x becomes ((w-1-x if flipped else x) - crop_left) * scale, and y becomes
(y - crop_top) * scale + top, to half a pixel."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A prepared image with its rows; the arrays are None where a finding is an error."""

    image_HW: Pixels | None
    mask_HW: NDArray[np.uint8] | None
    row: Row
    lesion_rows: list[Row]
    findings: list[Finding]
    digest: str


def convert(mammogram: Mammogram, config: DataConfig) -> Converted:
    """Decode, turn the chest wall to the left, crop, fit into the size, paint the lesions."""
    seen = examine(mammogram, config.intensity)
    rows, row = lesion_rows(mammogram, seen.regions), case_row(mammogram, seen.regions)
    grey_hw, findings = seen.pixels, [*seen.findings]
    if grey_hw is None or errors(findings):
        return Converted(None, None, row, rows, findings, seen.digest)
    flipped, rule = _flip(mammogram, grey_hw)
    if flipped:
        grey_hw = grey_hw[:, ::-1]
    crop = breast_box(grey_hw) if config.crop == "breast" else whole_box(grey_hw)
    placement = place((crop.height, crop.width), config.size)
    regions = [
        None if r is None else (r.mirrored(mammogram.width) if flipped else r).cropped(*crop)
        for r in seen.regions
    ]
    if fully_located(mammogram, seen.regions):
        mask_HW = paint(mammogram.lesions, regions, placement, config.other_lesions)
        findings += _cut_off(mammogram, seen.regions, regions)
    else:
        mask_HW = np.full(config.size, IGNORED, dtype=np.uint8)
    image_HW = resample_image(grey_hw[crop.slices], placement)
    if config.artefacts == "remove":
        image_HW = np.where(breast_mask(image_HW), image_HW, image_HW.dtype.type(0))
    placed = (int(flipped), rule, crop.top, crop.left, round(placement.scale, 9), placement.top)
    row |= dict(zip(PLACEMENT_COLUMNS, placed, strict=True))
    return Converted(image_HW, mask_HW, row, rows, findings, seen.digest)


def paint(
    lesions: Sequence[Lesion], regions: Regions, placement: Placement, other_lesions: OtherLesions
) -> NDArray[np.uint8]:
    """Draw lesions into a class mask, uint8 HW, in the order of `PRECEDENCE`; the rest is 0."""
    mask_HW = np.zeros(placement.size, dtype=np.uint8)
    values = [_mask_value(lesion, other_lesions) for lesion in lesions]
    for drawn in PRECEDENCE:
        for value, region in zip(values, regions, strict=True):
            if value == drawn and region is not None:
                small = resample_region(region, placement)
                mask_HW[small.slices][small.mask_hw] = value
    return mask_HW


def lost_image(mammogram: Mammogram) -> Converted:
    """Stand for an image that no decoder got through."""
    return Converted(None, None, {}, [], [lost(mammogram)], "")


def _cut_off(mammogram: Mammogram, whole: Regions, cropped: Regions) -> list[Finding]:
    """Note the lesions that the crop cuts."""
    cut = sum(
        w is not None and c is not None and c.area < w.area
        for w, c in zip(whole, cropped, strict=True)
    )
    message = f"{cut} lesions reach out of the breast as it was found"
    return [mammogram.finding("note", message, "cut at the crop")] if cut else []


def _mask_value(lesion: Lesion, other_lesions: OtherLesions) -> int:
    if lesion.type == "other" and other_lesions == "healthy":
        return 0
    if lesion.type == "other" and other_lesions == "mass":
        lesion = Lesion("mass", lesion.pathology, lesion.outline)
    return lesion.mask_class or IGNORED


def _flip(mammogram: Mammogram, grey_hw: Pixels) -> tuple[bool, str]:
    """Tell whether to mirror, and by which rule: as the data say, else by the brighter half.

    The breast widens towards the chest wall, so that its half of the image is brighter.
    """
    if mammogram.chest_wall:
        return mammogram.chest_wall == "right", "known"
    half, some_hw = mammogram.width // 2, grey_hw[::_EVERY]
    sums = some_hw[:, :half].sum(), some_hw[:, mammogram.width - half :].sum()
    return bool(sums[1] > sums[0]), "brighter half"
