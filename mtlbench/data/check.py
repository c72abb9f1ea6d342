"""What is wrong or odd about a data set: one pass over all images, nothing is written.

H, W = height and width in pixels.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from mtlbench.config import DataConfig, Intensity
from mtlbench.data.index import Regions
from mtlbench.data.mammogram import Finding, Index, Lesion, Mammogram
from mtlbench.data.outlines import Region
from mtlbench.data.parallel import LIMIT_S, ordered_map
from mtlbench.data.pixels import Pixels
from mtlbench.data.select import Excluded, select
from mtlbench.errors import DataError


@dataclass(frozen=True, slots=True)
class Examination:
    """One image, decoded: its grey levels (None where it has none), lesions, and findings."""

    pixels: Pixels | None
    regions: Regions
    findings: list[Finding]
    digest: str
    """SHA-256 of size, type and pixels as stored; empty where unreadable."""


class Report(NamedTuple):
    """What `data check` says: all findings, and what `prepare` would make of the set."""

    findings: list[Finding]
    n_images: int
    n_cases: int
    """Images that are cases and without an error."""
    excluded: list[Excluded]


def check(index: Index, config: DataConfig, jobs: int = 0) -> Report:
    """Give all findings: the adapter's, those between images, and those of each image.

    An image whose file the adapter found absent or unreadable is not read again.
    """
    selection = select(index, config)
    findings = [*index.findings, *selection.findings, *between_images(index.mammograms)]
    faulty = {finding.image_id for finding in errors(findings)}
    sound = [m for m in selection.mammograms if m.path or m.image_id not in faulty]
    work = partial(_findings_of, intensity=config.intensity)
    digests, depths = [], []
    for found, pixel_digest, depth in ordered_map(work, sound, jobs, _lost):
        findings += [finding.below(index.root) for finding in found]
        digests.append(pixel_digest)
        depths.append(depth)
    findings += equal_pixels(sound, digests) + mixed_depths(sound, depths)
    if not selection.mammograms and not errors(findings):
        message = "at least one image must have a label or a mask, but none has"
        origin = index.mammograms[0].origin if index.mammograms else ""
        findings.append(Finding("error", origin, None, message))
    faulty = {finding.image_id for finding in errors(findings)}
    n_cases = sum(m.image_id not in faulty for m in selection.mammograms)
    return Report(findings, len(index.mammograms), n_cases, selection.excluded)


def errors(findings: Sequence[Finding]) -> list[Finding]:
    """Only what stops `prepare`."""
    return [finding for finding in findings if finding.level == "error"]


def examine(mammogram: Mammogram, intensity: Intensity) -> Examination:
    """Decode an image and rasterise its lesions; what fails becomes a finding."""
    findings: list[Finding] = []
    try:
        pixels = mammogram.pixels()
        table = mammogram.tone(intensity)
    except (DataError, MemoryError) as error:
        findings.append(mammogram.finding("error", str(error) or "the memory does not suffice"))
        return Examination(None, [None] * len(mammogram.lesions), findings, "")
    expected = (mammogram.height, mammogram.width)
    if pixels.shape != expected:
        message = f"must have {expected} pixels as indexed, but got {pixels.shape}"
        findings.append(mammogram.finding("error", message))
    regions = [_region(mammogram, lesion, pixels, findings) for lesion in mammogram.lesions]
    hashed = hashlib.sha256(f"{pixels.shape} {pixels.dtype}".encode())
    hashed.update(np.ascontiguousarray(pixels).data)
    grey = pixels if table is None else table[pixels]
    return Examination(grey, regions, findings, hashed.hexdigest())


def lost(mammogram: Mammogram) -> Finding:
    """Say that no decoder got through an image."""
    message = f"damaged: the decoder crashed or took more than {LIMIT_S:.0f} s"
    return mammogram.finding("error", message)


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
    """Find images with the same pixels: errors under two labels or in two official splits.

    All images of such a group are at fault. Else they are notes, which say where patients differ.
    """
    groups: defaultdict[str, list[Mammogram]] = defaultdict(list)
    for mammogram, pixel_digest in zip(mammograms, digests, strict=True):
        if pixel_digest:
            groups[pixel_digest].append(mammogram)
    findings = []
    for first, *others in groups.values():
        group = [first, *others]
        if len({(mammogram.label, mammogram.split) for mammogram in group}) > 1:
            findings += [m.finding("error", _contradiction(m, group)) for m in group]
            continue
        for other in others:
            message = f"has the same pixels as {first.image_id} at {first.place}"
            if other.patient_id != first.patient_id:
                message += ", which is of another patient: a split may part them"
            findings.append(other.finding("note", message))
    return findings


def _contradiction(mammogram: Mammogram, group: Sequence[Mammogram]) -> str:
    """Say which image of the same pixels has another label, else another split."""
    by_label = [other for other in group if other.label != mammogram.label]
    by_split = [other for other in group if other.split != mammogram.split]
    other = (by_label or by_split or [mammogram])[0]
    said = (
        f"label {_word(other.label)} there stands against {_word(mammogram.label)}"
        if by_label
        else f"split {other.split!r} there stands against {mammogram.split!r}"
    )
    return f"has the same pixels as {other.image_id} at {other.place}, but {said}"


def _word(label: int | None) -> str:
    return "unknown" if label is None else str(label)


def mixed_depths(mammograms: Sequence[Mammogram], depths: Sequence[str]) -> list[Finding]:
    """Find images of another depth than most; `depths` are empty where unreadable."""
    counts = Counter(filter(None, depths))
    if len(counts) < 2:
        return []
    usual = counts.most_common(1)[0][0]
    return [
        Finding(
            "error",
            m.origin,
            m.row,
            f"all images must have the same depth: {usual}, not {depth}",
            m.image_id,
            "stops",
        )
        for m, depth in zip(mammograms, depths, strict=True)
        if depth and depth != usual
    ]


def _findings_of(mammogram: Mammogram, intensity: Intensity) -> tuple[list[Finding], str, str]:
    examination = examine(mammogram, intensity)
    depth = "" if examination.pixels is None else str(examination.pixels.dtype)
    return examination.findings, examination.digest, depth


def _lost(mammogram: Mammogram) -> tuple[list[Finding], str, str]:
    return [lost(mammogram)], "", ""


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
    if _leaves(lesion, height, width, max(height, width)):
        message = f"the outline of a lesion ({lesion.type}) must lie in the image, but is far off"
        findings.append(mammogram.finding("error", message))
    elif not region.mask_hw.any():
        message = f"the outline of a lesion ({lesion.type}) covers no pixel"
        findings.append(mammogram.finding("note", message, "kept for its label, without a mask"))
    elif _leaves(lesion, height, width, 0.5):
        message = f"the outline of a lesion ({lesion.type}) lies partly outside the image"
        findings.append(mammogram.finding("note", message, "the outline is clipped"))
    return region


def _leaves(lesion: Lesion, height: int, width: int, margin: float) -> bool:
    """Tell whether an outline reaches out of the image by more than the margin, in pixels."""
    bounds = lesion.outline.bounds() if lesion.outline else None
    if bounds is None:
        return False
    x_min, y_min, x_max, y_max = bounds
    over = max(-x_min, -y_min, x_max - (width - 1), y_max - (height - 1))
    return over > margin
