"""DDSM as downloaded: a folder a case, with an `.ics`, four images and their `.OVERLAY`s.

Heath M et al. (2001), The Digital Database for Screening Mammography, IWDM 2000: 212-218. Quirks:
images come as LJPEG or as what people converted them to, at times scaled; a view without overlay
is lesion-free; eight case names were given to two patients each (A-1500-1 in benign_05 and in
cancer_08, say), whose ids get the case's folder appended.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mtlbench.config import DataConfig
from mtlbench.data.adapters.ddsm.ics import Case, Report, View, parse_ics, read_text
from mtlbench.data.adapters.ddsm.overlay import Abnormality, parse_overlay
from mtlbench.data.mammogram import Finding, Index, Lesion, Mammogram, Side, label_of
from mtlbench.data.outlines import Chain, Outline, Polygon, same_shape
from mtlbench.data.pixels import ImageHeader, read_header, read_image
from mtlbench.data.pixels.film import film_tone
from mtlbench.errors import DataError

_EXAM = re.compile(r"(?P<patient>(?P<hospital>[A-Z])[-_][0-9]{1,6})[-_][0-9]{1,3}")
_SUFFIXES = (".ljpeg", ".png", ".pgm", ".16_pgm", ".tif", ".tiff")
"""Of several files of one image the first of these is read."""
_IMAGE_ENDING = re.compile(r"(\.ljpeg)?(\.[0-9]{1,3})?(?P<suffix>\.[a-z0-9_]+)")
_NONE = ImageHeader(0, 0)
_SIDES: dict[str, Side] = {"LEFT": "left", "RIGHT": "right"}

Files = Mapping[str, Path]
"""The files of one folder, by name in lower case."""


class _Exam(NamedTuple):
    """One case: its ids, what its .ics says, and where its files are."""

    name: str
    """As its files are called, such as A_0002_1."""
    patient: str
    hospital: str
    distinction: str
    """Appended to ids where another patient's case has the same name; else empty."""
    folder: Path
    files: Files
    case: Case


def read(root: Path, config: DataConfig) -> Index:
    """Index DDSM, whole or in part, wherever its cases lie below `root`.

    Raises:
        DataError: there is no .ics file.
    """
    folders: defaultdict[Path, dict[str, Path]] = defaultdict(dict)
    for path in sorted(root.rglob("*")):
        if not path.name.startswith("."):  # macOS's shadow files
            folders[path.parent].setdefault(path.name.lower(), path)
    paths = [p for files in folders.values() for p in files.values() if p.suffix.lower() == ".ics"]
    if not paths:
        raise DataError(f"{root}: must hold the .ics files of DDSM's cases, but holds none")
    findings: list[Finding] = []
    texts = _read_texts(root, sorted(paths), findings)
    shared = _shared_names(texts)
    mammograms = []
    for path, text in texts.items():
        report = Report(path.relative_to(root).as_posix(), findings)
        exam = _exam(root, path, text, folders[path.parent], path.stem.upper() in shared, report)
        views = exam.case.views if exam else []
        mammograms += [_mammogram(root, exam, view, report) for view in views if exam]
    return Index(mammograms, findings)


def _read_texts(root: Path, paths: Sequence[Path], findings: list[Finding]) -> dict[Path, str]:
    texts = {}
    for path in paths:
        try:
            texts[path] = read_text(path)
        except DataError as error:
            findings.append(Finding("error", path.relative_to(root).as_posix(), None, str(error)))
    return texts


def _shared_names(texts: Mapping[Path, str]) -> set[str]:
    """Find the names that stand for several cases; a mere copy of a case is none of them."""
    by_name: defaultdict[str, set[str]] = defaultdict(set)
    for path, text in texts.items():
        by_name[path.stem.upper()].add(text)
    return {name for name, of in by_name.items() if len(of) > 1}


def _exam(
    root: Path, path: Path, text: str, files: Files, shared: bool, report: Report
) -> _Exam | None:
    found = _EXAM.fullmatch(path.stem.upper())
    if found is None:
        report.error(None, "an .ics file must be named as A-0002-1.ics is")
        return None
    distinction = ""
    if shared:
        distinction = "@" + path.parent.relative_to(root).as_posix().replace("/", "-")
        message = f"another patient's case is named {path.stem} too"
        report.note(None, message, f"kept, with {distinction} appended to its ids")
    name, patient = (text.replace("-", "_") for text in (found[0], found["patient"]))
    case = parse_ics(text, name + distinction, report)
    return _Exam(name, patient, found["hospital"], distinction, path.parent, files, case)


def _mammogram(root: Path, exam: _Exam, view: View, ics: Report) -> Mammogram:
    exam_id = exam.name + exam.distinction
    report = ics.of(f"{exam_id}.{view.name}")
    side, _, projection = view.name.partition("_")
    path = _image_path(exam, view)
    header = _header(path, view, report)
    abnormalities = _abnormalities(root, exam, view, report)
    lesions = _lesions(abnormalities or (), view, header)
    assessments = [a.assessment for a in abnormalities or () if a.assessment is not None]
    return Mammogram(
        image_id=report.image_id,
        patient_id=exam.patient + exam.distinction,
        pixels=partial(read_image, path),
        height=header.height or view.height,
        width=header.width or view.width,
        exam_id=exam_id,
        side=_SIDES[side],
        view=projection,
        label=None if abnormalities is None else label_of(lesion.pathology for lesion in lesions),
        label_source=_label_source(abnormalities),
        birads=str(max(assessments)) if assessments else "",
        density=exam.case.density,
        scanner=exam.case.digitizer,
        spacing_mm=view.spacing_mm * (view.height / header.height if header.height else 1),
        has_mask=abnormalities is not None and all(lesion.outline for lesion in lesions),
        lesions=lesions,
        path=path.relative_to(root).as_posix() if header.height else "",
        origin=ics.file,
        row=view.row,
        tone=partial(film_tone, exam.hospital, exam.case.digitizer),
    )


def _image_path(exam: _Exam, view: View) -> Path:
    """Give the view's file, the LJPEG if there are several; that one's name if there is none."""
    name = f"{exam.name}.{view.name}"
    found = []
    for lower, path in exam.files.items():
        ending = _IMAGE_ENDING.fullmatch(lower.removeprefix(name.lower()))
        if lower.startswith(name.lower()) and ending and ending["suffix"] in _SUFFIXES:
            found.append((_SUFFIXES.index(ending["suffix"]), path))
    return min(found)[1] if found else exam.folder / f"{name}.LJPEG"


def _header(path: Path, view: View, report: Report) -> ImageHeader:
    """Read an image's size, which must be that of the scan or a scaled copy's; else 0 x 0."""
    try:
        header = read_header(path)
    except DataError as error:
        report.error(view.row, str(error))
        return _NONE
    if header[:2] == (view.height, view.width):
        return header
    sizes = f"is {header.height} x {header.width} and not {view.height} x {view.width}"
    if not same_shape(header[:2], (view.height, view.width)):
        report.error(view.row, f"an image must have the shape of its scan, but {path.name} {sizes}")
        return _NONE
    report.note(view.row, f"{path.name} {sizes}", "kept, its outlines are scaled")
    return header


def _abnormalities(root: Path, exam: _Exam, view: View, report: Report) -> list[Abnormality] | None:
    """Read a view's overlay; none without one, None where it is missing or unreadable."""
    name = f"{exam.name}.{view.name}.OVERLAY"
    path = exam.files.get(name.lower())
    if path is None:
        if not view.has_overlay:
            return []
        report.error(view.row, f"says OVERLAY, but {name}: no such file")
        return None
    if not view.has_overlay:
        report.note(view.row, f"says NON_OVERLAY, but there is {path.name}", "the overlay is read")
    overlay = Report(path.relative_to(root).as_posix(), report.findings, report.image_id)
    try:
        text = read_text(path)
    except DataError as error:
        overlay.error(None, str(error))
        return None
    return parse_overlay(text, view.height, view.width, overlay) or None


def _label_source(abnormalities: Sequence[Abnormality] | None) -> str:
    if abnormalities is None:
        return ""
    return "biopsy (.OVERLAY PATHOLOGY)" if abnormalities else ".ics NON_OVERLAY"


def _lesions(
    abnormalities: Sequence[Abnormality], view: View, header: ImageHeader
) -> tuple[Lesion, ...]:
    """Give a lesion for each outline, or one that is not located."""
    return tuple(
        Lesion(abnormality.type, abnormality.pathology, _scaled(outline, view, header))
        for abnormality in abnormalities
        for outline in abnormality.outlines or [None]
    )


def _scaled(chain: Chain | None, view: View, header: ImageHeader) -> Outline | None:
    """Give an outline in the pixels of the image; a chain has unit steps and cannot be scaled."""
    if chain is None or not header.height or header[:2] == (view.height, view.width):
        return chain
    scale = header.width / view.width, header.height / view.height
    points_N2 = (chain.points() + 0.5) * scale - 0.5
    return Polygon(tuple((x, y) for x, y in points_N2.tolist()))
