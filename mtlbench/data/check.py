"""What is wrong or odd about a data set: one pass over all images, nothing is written.

H, W = height and width in pixels.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtlbench.data.index import Regions
from mtlbench.data.mammogram import Finding, Index, Lesion, Mammogram
from mtlbench.data.outlines import Region
from mtlbench.data.parallel import ordered_map
from mtlbench.data.pixels import Pixels
from mtlbench.errors import DataError


@dataclass(frozen=True, slots=True)
class Examination:
    """One image, decoded: its pixels (None where unreadable), lesions, and findings."""

    pixels: Pixels | None
    regions: Regions
    findings: list[Finding]
    digest: str
    """SHA-256 of size, type and pixels; empty where unreadable."""


def check(index: Index, jobs: int = 1) -> list[Finding]:
    """Give all findings: the adapter's, those between images, and those of each image.

    An image whose row the adapter already found in error is not decoded.
    """
    findings = [*index.findings, *between_images(index.mammograms)]
    faulty = {(finding.file, finding.row) for finding in findings if finding.level == "error"}
    sound = [m for m in index.mammograms if (m.origin, m.row) not in faulty]
    digests, depths = [], []
    for found, pixel_digest, depth in ordered_map(_findings_of, sound, jobs):
        findings += found
        digests.append(pixel_digest)
        depths.append(depth)
    findings += equal_pixels(sound, digests) + mixed_depths(sound, depths)
    if sound and not any(m.label is not None or m.has_mask for m in sound):
        message = "at least one image must have a label or a mask, but none has"
        findings.append(Finding("error", sound[0].origin, None, message))
    return findings


def errors(findings: Sequence[Finding]) -> list[Finding]:
    """Only what stops `prepare`."""
    return [finding for finding in findings if finding.level == "error"]


def examine(mammogram: Mammogram) -> Examination:
    """Decode an image and rasterise its lesions; what fails becomes a finding."""
    findings: list[Finding] = []
    try:
        pixels = mammogram.pixels()
    except DataError as error:
        findings.append(mammogram.finding("error", str(error)))
        return Examination(None, [None] * len(mammogram.lesions), findings, "")
    expected = (mammogram.height, mammogram.width)
    if pixels.shape != expected:
        message = f"must have {expected} pixels as indexed, but got {pixels.shape}"
        findings.append(mammogram.finding("error", message))
    regions = [_region(mammogram, lesion, pixels, findings) for lesion in mammogram.lesions]
    hashed = hashlib.sha256(f"{pixels.shape} {pixels.dtype}".encode())
    hashed.update(np.ascontiguousarray(pixels).data)
    return Examination(pixels, regions, findings, hashed.hexdigest())


def between_images(mammograms: Sequence[Mammogram]) -> list[Finding]:
    """Find image ids that come twice and patients in two official splits."""
    findings = []
    by_id: dict[str, Mammogram] = {}
    by_patient: dict[str, Mammogram] = {}
    for mammogram in mammograms:
        first = by_id.setdefault(mammogram.image_id, mammogram)
        if first is not mammogram:
            message = f"image_id must be unique, but is that of {first.place}"
            findings.append(mammogram.finding("error", message))
        if not mammogram.split:
            continue
        first = by_patient.setdefault(mammogram.patient_id, mammogram)
        if first.split != mammogram.split:
            message = (
                f"patient {mammogram.patient_id} must be in one split, but is in "
                f"{mammogram.split} here and in {first.split} at {first.place}"
            )
            findings.append(mammogram.finding("error", message))
    return findings


def equal_pixels(mammograms: Sequence[Mammogram], digests: Sequence[str]) -> list[Finding]:
    """Find images with the same pixels: an error under two labels, else a note."""
    groups: defaultdict[str, list[Mammogram]] = defaultdict(list)
    for mammogram, pixel_digest in zip(mammograms, digests, strict=True):
        if pixel_digest:
            groups[pixel_digest].append(mammogram)
    findings = []
    for first, *others in groups.values():
        for other in others:
            same = other.label == first.label
            message = f"has the same pixels as {first.image_id} at {first.place}"
            if not same:
                message += f", but label {other.label} there stands against {first.label}"
            findings.append(other.finding("note" if same else "error", message))
    return findings


def mixed_depths(mammograms: Sequence[Mammogram], depths: Sequence[str]) -> list[Finding]:
    """Find images of another depth than most; `depths` are empty where unreadable."""
    counts = Counter(filter(None, depths))
    if len(counts) < 2:
        return []
    usual = counts.most_common(1)[0][0]
    return [
        mammogram.finding("error", f"all images must have the same depth: {usual}, not {depth}")
        for mammogram, depth in zip(mammograms, depths, strict=True)
        if depth and depth != usual
    ]


def _findings_of(mammogram: Mammogram) -> tuple[list[Finding], str, str]:
    examination = examine(mammogram)
    depth = "" if examination.pixels is None else str(examination.pixels.dtype)
    return examination.findings, examination.digest, depth


def _region(
    mammogram: Mammogram, lesion: Lesion, pixels: Pixels, findings: list[Finding]
) -> Region | None:
    if lesion.outline is None:
        return None
    height, width = pixels.shape
    try:
        region = lesion.outline.rasterise(height, width)
    except DataError as error:
        findings.append(mammogram.finding("error", str(error)))
        return None
    if not region.mask_hw.any():
        message = f"the outline of a {lesion.type} covers no pixel"
        findings.append(mammogram.finding("note", message, "kept for its label, without a mask"))
    elif _leaves(lesion, height, width):
        message = f"the outline of a {lesion.type} lies partly outside the image"
        findings.append(mammogram.finding("note", message, "the outline is clipped"))
    return region


def _leaves(lesion: Lesion, height: int, width: int) -> bool:
    bounds = lesion.outline.bounds() if lesion.outline else None
    if bounds is None:
        return False
    x_min, y_min, x_max, y_max = bounds
    return min(x_min, y_min) < -0.5 or x_max > width - 0.5 or y_max > height - 0.5
