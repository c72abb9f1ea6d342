"""Which of a data set's images are cases: one a film, by the label rule, and why not the others."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from mtlbench.config import DataConfig, LabelRule
from mtlbench.data.mammogram import Finding, Index, Mammogram, label_of


class Excluded(NamedTuple):
    """A row of `excluded.csv`."""

    image_id: str
    reason: str


class Selection(NamedTuple):
    """The cases, the images left out, and what is to be said of both."""

    mammograms: list[Mammogram]
    excluded: list[Excluded]
    findings: list[Finding]


def select(index: Index, config: DataConfig) -> Selection:
    """Join the images of one film, then apply the label rule."""
    joined, excluded, findings = _join_films(index.mammograms)
    kept = []
    for mammogram in joined:
        if reason := _reason(mammogram, config.label_rule):
            excluded.append(Excluded(mammogram.image_id, reason))
        else:
            kept.append(mammogram)
    order = {mammogram.image_id: place for place, mammogram in enumerate(index.mammograms)}
    excluded.sort(key=lambda entry: order[entry.image_id])
    return Selection(kept, excluded, findings)


def exclude_faulty(selection: Selection, findings: Sequence[Finding]) -> Selection:
    """Leave out the images that have an error of their own."""
    faults: dict[str, str] = {}
    for finding in findings:
        if finding.level == "error" and finding.image_id:
            faults.setdefault(finding.image_id, finding.message)
    known = {m.image_id for m in selection.mammograms} | {e.image_id for e in selection.excluded}
    left_out = [
        *(m.image_id for m in selection.mammograms if m.image_id in faults),
        *(image_id for image_id in faults if image_id not in known),
    ]
    return Selection(
        [m for m in selection.mammograms if m.image_id not in faults],
        [*selection.excluded, *(Excluded(image_id, faults[image_id]) for image_id in left_out)],
        selection.findings,
    )


def _reason(mammogram: Mammogram, rule: LabelRule) -> str:
    """Say why an image is no case; empty where it is one."""
    pathologies = {lesion.pathology for lesion in mammogram.lesions}
    if mammogram.label is None and not mammogram.has_mask:
        return "neither label nor mask"
    if rule.normals == "exclude" and not mammogram.lesions and mammogram.label != 1:
        return 'no lesion: label_rule.normals = "exclude"'
    if rule.benign_without_callback == "exclude" and pathologies == {"benign_without_callback"}:
        return 'benign at sight: label_rule.benign_without_callback = "exclude"'
    return ""


def _join_films(
    mammograms: Sequence[Mammogram],
) -> tuple[list[Mammogram], list[Excluded], list[Finding]]:
    """Keep one image a film, with the lesions of all: its mask and label are then complete."""
    films: defaultdict[str | int, list[Mammogram]] = defaultdict(list)
    for place, mammogram in enumerate(mammograms):
        films[mammogram.film or place].append(mammogram)
    joined, excluded, findings = [], [], []
    for copies in films.values():
        first, *others = sorted(copies, key=lambda m: not m.path)  # one that is there
        joined.append(_joined(first, others) if others else first)
        for other in others:
            excluded.append(Excluded(other.image_id, f"the film of {first.image_id}"))
            message = f"is the film of {first.image_id}"
            action = f"left out; its lesions are drawn in {first.image_id}"
            findings.append(other.finding("note", message, action))
    return joined, excluded, findings


def _joined(first: Mammogram, others: Sequence[Mammogram]) -> Mammogram:
    lesions = [lesion for mammogram in (first, *others) for lesion in mammogram.lesions]
    return replace(
        first,
        lesions=tuple(lesions),
        has_mask=all(mammogram.has_mask for mammogram in (first, *others)),
        label=label_of(lesion.pathology for lesion in lesions),
    )
