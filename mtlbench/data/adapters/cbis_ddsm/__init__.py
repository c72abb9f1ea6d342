"""CBIS-DDSM as downloaded: its case descriptions, and images in one of three editions.

Lee RS et al. (2017), A curated mammography data set for use in computer-aided detection and
diagnosis research, Scientific Data 4:170177. Pathology is proven by biopsy. Quirks: 31 patients
have masses in one half of the official split and calcifications in the other; 71 views are in the
collection twice, as a mass and as a calcification image; some masks have another size than their
image. Those of the CSVs and of the files stand in `rows` and `files`.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from mtlbench.config import DataConfig
from mtlbench.data.adapters.cbis_ddsm.files import (
    Files,
    ImageFile,
    choose_full,
    choose_mask,
    find_files,
)
from mtlbench.data.adapters.cbis_ddsm.rows import CaseRow, parse_folder, read_cases
from mtlbench.data.mammogram import Finding, Index, Lesion, Mammogram, label_of
from mtlbench.data.manifest import ManifestRow
from mtlbench.data.outlines import MaskFile
from mtlbench.data.pixels import ImageHeader, file_tone, read_image
from mtlbench.errors import DataError

_LOSSY_ABOVE = 127
"""The masks of the JPEG edition hold more than 0 and 255: their upper half is the lesion."""


def read(root: Path, config: DataConfig) -> Index:
    """Index the images of the CSVs that are there; `config.subset` picks masses or calcifications.

    Raises:
        DataError: there is no case description (of the subset).
    """
    files = find_files(root)
    tables = [path for path in files.tables if config.subset in ("all", path.name[:4].lower())]
    if not tables:
        kind = "*" if config.subset == "all" else config.subset
        raise DataError(f"{root}: must hold {kind}_case_description_*_set.csv, but holds none")
    tables, findings = _distinct(root, tables)
    images: defaultdict[str, list[CaseRow]] = defaultdict(list)
    places: list[ManifestRow] = []
    for path in tables:
        cases, rows = read_cases(path, path.relative_to(root).as_posix())
        places += rows
        for case in cases:
            images[case.name.image_id].append(case)
    _check_series([case for cases in images.values() for case in cases])
    names = [cases[0].name for cases in images.values()]
    tested = {name.patient for name in names if name.part == "test"}
    films = Counter(name.film for name in names)
    twice = {film for film, count in films.items() if count > 1}
    mammograms = [_mammogram(files, cases, tested, twice) for cases in images.values()]
    findings += files.findings + [finding for place in places for finding in place.findings]
    return Index(mammograms, findings + _without_row(files, images.values()))


def _distinct(root: Path, tables: Sequence[Path]) -> tuple[list[Path], list[Finding]]:
    """Take each case description once."""
    first: dict[str, Path] = {}
    findings = []
    for path in tables:
        if (other := first.setdefault(path.name.lower(), path)) is not path:
            ours, theirs = (p.relative_to(root).as_posix() for p in (path, other))
            message = f"must be there once, but is also {theirs}"
            findings.append(Finding("error", ours, None, message))
    return list(first.values()), findings


def _check_series(cases: Sequence[CaseRow]) -> None:
    """A series must be of one folder: where it is of two, one of them shows another's image."""
    owners: dict[str, str] = {}
    for case in cases:
        folders = (case.name.image_id, case.folder, case.folder)
        for series, folder in zip(case.series, folders, strict=True):
            if series and (owner := owners.setdefault(series, folder)) != folder:
                case.place.error(f"series {series} must be of {folder}, but is of {owner}")


def _mammogram(
    files: Files, cases: Sequence[CaseRow], tested: Collection[str], twice: Collection[str]
) -> Mammogram:
    """Build an image's record from its rows, one a lesion; what is wrong goes to the rows."""
    name, row = cases[0].name, cases[0].place
    image = _full_image(files, cases[0])
    header = image.header if image else ImageHeader(0, 0)
    path = image.path if image else files.root / name.image_id
    if name.patient in tested and name.part == "train":
        message = f"moved to test: patient {name.patient} has official test images"
        row.note(message, "in the test split")
    cases = _numbered(cases)
    lesions = tuple(_lesion(files, case, header) for case in cases)
    return Mammogram(
        image_id=name.image_id,
        patient_id=name.patient,
        pixels=partial(read_image, path),
        height=header.height,
        width=header.width,
        exam_id=name.patient,
        side=name.side,
        view=name.view,
        label=label_of(lesion.pathology for lesion in lesions),
        label_source="biopsy (pathology)",
        birads=max(case.assessment for case in cases),
        density=cases[0].density,
        scanner=header.scanner,
        split="test" if name.patient in tested else "train",
        spacing_mm=header.spacing_mm,
        has_mask=all(lesion.outline for lesion in lesions),
        lesions=lesions,
        path=image.name if image else "",
        origin=row.file,
        row=row.line,
        chest_wall=header.chest_wall,
        tone=partial(file_tone, path),
        film=name.film if name.film in twice else "",
    )


def _numbered(cases: Sequence[CaseRow]) -> list[CaseRow]:
    """Sort an image's rows by abnormality id, which must not come twice."""
    first: dict[int, CaseRow] = {}
    for case in cases:
        other = first.setdefault(case.number, case)
        if other is not case:
            message = f"abnormality id {case.number} must be unique in its image, but is that of"
            case.place.error(f"{message} {other.place.file}:{other.place.line}")
    return sorted(cases, key=lambda case: case.number)


def _full_image(files: Files, case: CaseRow) -> ImageFile | None:
    folder = case.name.image_id
    found = _open(files, case.place, folder, case.series[:1])
    return None if found is None else case.place.attempt(lambda: choose_full(folder, found), None)


def _lesion(files: Files, case: CaseRow, image: ImageHeader) -> Lesion:
    """Build one lesion; it is not located where its mask is absent or does not fit."""
    found = _open(files, case.place, case.folder, case.series[1:])
    outline = None
    if found is not None:
        outline = case.place.attempt(lambda: _outline(case, found, image), None)
    return Lesion(case.type, case.pathology, outline)


def _outline(case: CaseRow, found: Sequence[ImageFile], image: ImageHeader) -> MaskFile:
    mask, oddity, action = choose_mask(case.folder, found, image)
    if oddity:
        case.place.note(oddity, action)
    above = 0 if mask.path.suffix.lower() == ".dcm" else _LOSSY_ABOVE
    return MaskFile(mask.path, above=above, scaled=mask.size != image[:2])


def _open(
    files: Files, row: ManifestRow, folder: str, series: Sequence[str]
) -> list[ImageFile] | None:
    """Read the headers of a folder's or series' files; those that fail are errors of the row.

    None: all of them fail, so that nothing more can be said.
    """
    paths = files.of(folder, series)
    opened = [row.attempt(partial(files.open, path, folder), None) for path in paths]
    found = [file for file in opened if file]
    return None if paths and not found else found


def _without_row(files: Files, images: Collection[Sequence[CaseRow]]) -> list[Finding]:
    """Name the folders of which no row speaks, of those halves of the collection that are read."""
    halves = {cases[0].name[1:3] for cases in images}
    known = {cases[0].name.image_id for cases in images}
    known |= {case.folder for cases in images for case in cases}
    findings = []
    for folder, paths in files.images.items():
        name = parse_folder(folder)
        if name and name[1:3] in halves and folder not in known:
            place = paths[0].relative_to(files.root).as_posix()
            message = f"no case description has a row for {folder}"
            findings.append(Finding("note", place, None, message, name.image_id, "left out"))
    return findings
