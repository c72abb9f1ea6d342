import random
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mtlbench.config import DataConfig
from mtlbench.data.adapters import ddsm
from mtlbench.data.index import write_index
from mtlbench.data.mammogram import Index, Mammogram
from mtlbench.data.outlines import Chain, Polygon
from mtlbench.data.pixels.ljpeg import encode_ljpeg
from mtlbench.errors import DataError

ICS = """ \n\
ics_version 1.0
filename B-0001-1
DATE_OF_STUDY 21 6 1995
PATIENT_AGE 37
FILM \n\
FILM_TYPE REGULAR
DENSITY 3
DATE_DIGITIZED 4 5 1999 \n\
DIGITIZER LUMISYS  LASER
SEQUENCE
LEFT_CC LINES 40 PIXELS_PER_LINE 30 BITS_PER_PIXEL 12 RESOLUTION 43.5 OVERLAY
LEFT_MLO LINES 41 PIXELS_PER_LINE 30 BITS_PER_PIXEL 12 RESOLUTION 50 NON_OVERLAY
RIGHT_CC LINES 42 PIXELS_PER_LINE 30 BITS_PER_PIXEL 12 RESOLUTION 50 NON_OVERLAY
RIGHT_MLO LINES 43 PIXELS_PER_LINE 30 BITS_PER_PIXEL 12 RESOLUTION 50 NON_OVERLAY
"""
OVERLAY = """\
TOTAL_ABNORMALITIES 2
ABNORMALITY 1 \n\
LESION_TYPE MASS SHAPE OVAL MARGINS OBSCURED
ASSESSMENT 3 \n\
SUBTLETY 4 \n\
PATHOLOGY BENIGN
TOTAL_OUTLINES 1 \n\
BOUNDARY
10 12  2 2 4 4 6 6 0 0 #
ABNORMALITY 2 \n\
LESION_TYPE CALCIFICATION TYPE PLEOMORPHIC DISTRIBUTION CLUSTERED
ASSESSMENT 5 \n\
SUBTLETY 4 \n\
PATHOLOGY MALIGNANT
TOTAL_OUTLINES 1 \n\
BOUNDARY
20 30  3 5 7 1 #
"""
SIZES = {"LEFT_CC": (40, 30), "LEFT_MLO": (41, 30), "RIGHT_CC": (42, 30), "RIGHT_MLO": (43, 30)}
IMAGE = "cancers/cancer_01/case0001/B_0001_1.LEFT_CC"
VIEWS = ("LEFT_CC", "LEFT_MLO", "RIGHT_CC", "RIGHT_MLO")


def grey(height: int, width: int) -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(0, 4096, (height, width), dtype=np.uint16)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Give a writer of one case with its four LJPEGs."""

    def write_case(ics: str = ICS, overlay: str | None = OVERLAY, name: str = "B-0001-1") -> Path:
        folder = tmp_path / "cancers/cancer_01/case0001"
        folder.mkdir(parents=True, exist_ok=True)
        stem = name.replace("-", "_")
        for view, size in SIZES.items():
            (folder / f"{stem}.{view}.LJPEG").write_bytes(encode_ljpeg(grey(*size), 16))
        if overlay is not None:
            (folder / f"{stem}.LEFT_CC.OVERLAY").write_text(overlay)
        (folder / f"{name}.ics").write_text(ics)
        return tmp_path

    return write_case


def read(root: Path) -> Index:
    return ddsm.read(root, DataConfig())


def first(index: Index) -> Mammogram:
    return index.mammograms[0]


def mask(mammogram: Mammogram, lesion: int = 0) -> NDArray[np.bool_]:
    outline = mammogram.lesions[lesion].outline
    assert outline is not None
    size = mammogram.height, mammogram.width
    return outline.rasterise(*size).whole(*size)


def test_a_case_as_distributed(write: Callable[..., Path]) -> None:
    index = read(write())
    assert index.findings == []
    ids = [f"B_0001_1.{view}" for view in VIEWS]
    assert [m.image_id for m in index.mammograms] == ids
    assert {(m.patient_id, m.exam_id) for m in index.mammograms} == {("B_0001", "B_0001_1")}
    assert [(m.side, m.view) for m in index.mammograms] == [
        ("left", "CC"), ("left", "MLO"), ("right", "CC"), ("right", "MLO"),
    ]  # fmt: skip
    assert [(m.height, m.width) for m in index.mammograms] == list(SIZES.values())
    one, other, *_ = index.mammograms
    assert (one.label, one.label_source, one.birads) == (1, "biopsy (.OVERLAY PATHOLOGY)", "5")
    assert (other.label, other.label_source, other.birads) == (0, ".ics NON_OVERLAY", "")
    assert (one.has_mask, other.has_mask, other.lesions) == (True, True, ())
    assert (one.density, one.scanner) == ("3", "LUMISYS LASER")
    assert (one.spacing_mm, other.spacing_mm) == (0.0435, 0.05)
    assert (one.path, one.origin, one.row) == (
        f"{IMAGE}.LJPEG", "cancers/cancer_01/case0001/B-0001-1.ics", 12,
    )  # fmt: skip
    assert [lesion.mask_class for lesion in one.lesions] == [1, 4]
    np.testing.assert_array_equal(one.pixels(), grey(40, 30))
    square, diamond = mask(one), mask(one, 1)
    assert np.argwhere(square).tolist() == [[y, x] for y in (12, 13, 14) for x in (10, 11, 12)]
    assert np.argwhere(diamond).tolist() == [[30, 20], [31, 19], [31, 20], [31, 21], [32, 20]]


def test_optical_density_knows_hospital_and_digitiser(write: Callable[..., Path]) -> None:
    table = first(read(write())).tone("optical-density")
    assert table is not None
    density = 4.05977749 - 0.00099081 * 2000  # the data set's own formula for LUMISYS
    assert table[2000] == round((1 - density / 4) * 65535)


def test_no_date_and_no_age_is_kept(write: Callable[..., Path], tmp_path: Path) -> None:
    index = read(write(ICS.replace("LEFT_CC", "PATIENT_AGE 37\nLEFT_CC")))
    write_index(index, tmp_path / "out")
    texts = [(tmp_path / "out" / name).read_text() for name in ("cases.csv", "lesions.csv")]
    text = f"{index}{texts}"
    assert not any(secret in text for secret in ("1995", "1999", "DATE", "AGE"))


def test_the_annotations_are_enough(write: Callable[..., Path]) -> None:
    root = write()
    for path in root.rglob("*.LJPEG"):
        path.unlink()
    index = read(root)
    assert [(f.level, f.row, f.image_id) for f in index.findings] == [
        ("error", row, f"B_0001_1.{view}") for row, view in enumerate(VIEWS, start=12)
    ]
    assert index.findings[0].message.endswith("LEFT_CC.LJPEG: no such file")
    assert [m.path for m in index.mammograms] == [""] * 4
    assert {(m.height, m.width) for m in index.mammograms} == {(40 + n, 30) for n in range(4)}
    assert [m.label for m in index.mammograms] == [1, 0, 0, 0]
    assert all(isinstance(lesion.outline, Chain) for lesion in first(index).lesions)


@pytest.mark.parametrize(
    "name", ["png", "LJPEG.png", "LJPEG.1.pgm", "16_PGM", "TIF", "ljpeg.PNG", "LJPEG"]
)
def test_conversions_are_read_where_there_is_no_ljpeg(
    write: Callable[..., Path], name: str
) -> None:
    root = write()
    (root / f"{IMAGE}.LJPEG").unlink()
    path, pixels = root / f"{IMAGE}.{name}", grey(40, 30)
    if name.lower().endswith("pgm"):
        path.write_bytes(b"P5\n30 40\n4095\n" + pixels.astype(">u2").tobytes())
    elif name == "LJPEG":
        path.write_bytes(encode_ljpeg(pixels, 16))
    else:
        Image.fromarray(pixels).save(path)
    index = read(root)
    assert index.findings == []
    assert first(index).path == f"{IMAGE}.{name}"
    np.testing.assert_array_equal(first(index).pixels(), pixels)


def test_the_ljpeg_is_preferred_and_pictures_of_else_are_no_view(
    write: Callable[..., Path],
) -> None:
    root = write()
    folder = (root / IMAGE).parent
    Image.fromarray(grey(40, 30)).save(root / f"{IMAGE}.png")
    for name in ("TAPE_B_0001_1.COMB.16_PGM", "._B-0001-1.ics", "B_0001_1.LEFT_CC.mask.png"):
        (folder / name).write_bytes(b"\0\1")
    index = read(root)
    assert index.findings == []
    assert first(index).path == f"{IMAGE}.LJPEG"


def test_a_smaller_conversion_scales_its_outlines(write: Callable[..., Path]) -> None:
    """At half the size pixel (x, y) lies at ((x + 0.5) / 2 - 0.5, ...)."""
    root = write()
    (root / f"{IMAGE}.LJPEG").unlink()
    Image.fromarray(grey(20, 15)).save(root / f"{IMAGE}.png")
    index = read(root)
    (note,) = index.findings
    assert (note.level, note.row, note.action) == ("note", 12, "kept, its outlines are scaled")
    assert note.message == "B_0001_1.LEFT_CC.png is 20 x 15 and not 40 x 30"
    one = first(index)
    assert (one.height, one.width, one.spacing_mm) == (20, 15, 0.087)
    outline = one.lesions[0].outline
    assert isinstance(outline, Polygon)
    assert outline.bounds() == (4.75, 5.75, 5.75, 6.75)
    assert np.argwhere(mask(one)).tolist() == [[6, 5]]


def test_a_conversion_of_another_shape_is_refused(write: Callable[..., Path]) -> None:
    root = write()
    (root / f"{IMAGE}.LJPEG").unlink()
    Image.fromarray(grey(20, 16)).save(root / f"{IMAGE}.png")
    (error,) = read(root).findings
    assert (error.level, error.row) == ("error", 12)
    assert "must have the shape of its scan, but B_0001_1.LEFT_CC.png is 20 x 16" in error.message


def test_one_name_for_two_patients(write: Callable[..., Path], tmp_path: Path) -> None:
    """As A-1500-1 in benign_05 and cancer_08: other sizes, other dates, other women."""
    write(overlay=None, ics=ICS.replace("43.5 OVERLAY", "43.5 NON_OVERLAY"))
    (tmp_path / "cancers").rename(tmp_path / "benigns")
    write()
    index = read(tmp_path)
    ids = {(m.image_id, m.patient_id) for m in index.mammograms if m.image_id.endswith("LEFT_CC")}
    assert ids == {
        (f"B_0001_1@{folder}.LEFT_CC", f"B_0001@{folder}")
        for folder in ("benigns-cancer_01-case0001", "cancers-cancer_01-case0001")
    }
    assert len({m.image_id for m in index.mammograms}) == 8
    assert [f.level for f in index.findings] == ["note", "note"]
    assert "another patient's case is named B-0001-1 too" in index.findings[0].message


def test_a_folder_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must hold the \.ics files of DDSM's cases"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "level", "row", "message"),
    [
        ("LINES 40", "LINES x", "error", 12, "word 3 is 'x'"),
        ("LINES 40", "LINES 1" + "0" * 40, "error", 12, f"word 3 is '1{'0' * 23}...'"),
        ("LINES 40", "LINES 99999", "error", 12, "got 99999 x 99999 pixels"),
        ("RESOLUTION 43.5", "RESOLUTION 0", "error", 12, "RESOLUTION above 0"),
        ("43.5 OVERLAY", "43.5", "error", 12, "word 10 is ''"),
        ("LEFT_CC", "LEFT_XCC", "error", 12, "a view must be one of LEFT_CC, LEFT_MLO"),
        ("DENSITY 3", "DENSITY 7", "note", 8, "DENSITY must be 0 to 4, but got '7'"),
        ("LEFT_MLO", "FILM", "note", None, "has no line for LEFT_MLO"),
    ],
)
def test_faults_of_an_ics(
    write: Callable[..., Path], old: str, new: str, level: str, row: int | None, message: str
) -> None:
    text = ICS.replace(old, new, 1)
    text = (
        text.replace("PIXELS_PER_LINE 30", "PIXELS_PER_LINE 99999", 1) if "99999" in new else text
    )
    findings = [f for f in read(write(text)).findings if message in f.message]
    assert [(f.level, f.row) for f in findings] == [(level, row)]
    assert findings[0].file == "cancers/cancer_01/case0001/B-0001-1.ics"


def test_other_faults_of_a_case(write: Callable[..., Path]) -> None:
    root = write(ics="PATIENT_AGE 37\n")
    (root / "notes.ics").write_text(ICS)
    (root / "C-0001-1.ics").mkdir()
    findings = read(root).findings
    assert [(f.level, f.file, f.row) for f in findings] == [
        ("error", "C-0001-1.ics", None),
        ("error", "cancers/cancer_01/case0001/B-0001-1.ics", None),
        ("error", "notes.ics", None),
    ]


def test_density_0_is_unknown(write: Callable[..., Path]) -> None:
    index = read(write(ICS.replace("DENSITY 3", "DENSITY 0")))
    assert index.findings == []
    assert first(index).density == ""


def test_crlf_and_a_byte_order_mark_change_nothing(write: Callable[..., Path]) -> None:
    plain = read(write())
    assert read(write("\ufeff" + ICS.replace("\n", "\r\n"), OVERLAY.replace("\n", "\r\n"))) == plain


def test_an_overlay_that_is_not_there(write: Callable[..., Path]) -> None:
    index = read(write(overlay=None))
    (error,) = index.findings
    assert (error.level, error.row, error.image_id) == ("error", 12, "B_0001_1.LEFT_CC")
    assert error.message == "says OVERLAY, but B_0001_1.LEFT_CC.OVERLAY: no such file"
    assert (first(index).label, first(index).has_mask) == (None, False)


def test_an_overlay_that_should_not_be_there_is_read(write: Callable[..., Path]) -> None:
    index = read(write(ICS.replace("43.5 OVERLAY", "43.5 NON_OVERLAY")))
    (note,) = index.findings
    assert (note.level, note.row, note.action) == ("note", 12, "the overlay is read")
    assert first(index).label == 1


FAULTS: Mapping[str, tuple[str, str, str, int | None, str]] = {
    "pathology": ("PATHOLOGY BENIGN", "PATHOLOGY BENIGM", "error", 6, "but got 'BENIGM'"),
    "no pathology": ("PATHOLOGY BENIGN\n", "", "error", 2, "must have one PATHOLOGY, but has 0"),
    "type": ("LESION_TYPE MASS", "LESION_TYPE MESS", "error", 3, "but got 'MESS'"),
    "no type": (
        "LESION_TYPE MASS SHAPE OVAL MARGINS OBSCURED\n", "", "error", 2, "must have a LESION_TYPE",
    ),
    "assessment": ("ASSESSMENT 3", "ASSESSMENT 33", "error", 4, "must be 0 to 5, but got '33'"),
    "total": ("ABNORMALITIES 2", "ABNORMALITIES 3", "note", 1, "says '3' abnormalities, but"),
    "outlines": ("OUTLINES 1", "OUTLINES 4", "note", 7, "says '4' outlines, but there are 1"),
    "keyword": ("SUBTLETY", "SUBTITLE", "error", 5, "must begin with one of TOTAL_ABNORMALITIES"),
    "boundary": ("BOUNDARY\n10", "BINDARY\n10", "error", 8, "but got 'BINDARY'"),
    "before": ("TOTAL_ABNORMALITIES 2", "PATHOLOGY BENIGN", "error", 1, "must follow ABNORMALITY"),
    "no end": ("6 6 0 0 #\nA", "6 6 0 0\nA", "error", 9, "must end with #, but got 'nothing'"),
    "after the end": ("0 0 #\nA", "0 0 # 7\nA", "error", 9, "must end with #, but got '7'"),
    "code": ("12  2 2", "12  2 8", "error", 9, "must be 0 to 7, but code 2 is '8'"),
    "digit": ("12  2 2", "12  2 ²", "error", 9, "must be 0 to 7, but code 2 is '²'"),
    "start": ("10 12  2", "1e1 12  2", "error", 9, "must begin with x and y, but got '1e1 12'"),
    "huge": ("10 12  2", f"{10**30} 12  2", "error", 9, "must begin with x and y"),
    "far off": ("10 12  2", "33 12  2", "error", 9, "must lie in the image of 40 x 30"),
    "small gap": ("6 6 0 0 #\nA", "6 6 0 #\nA", "note", 9, "ends 1 pixels from it"),
    "gap": ("2 2 4 4 6 6 0 0", "2 2 2 2 2 2 4 6", "error", 9, "ends 5 pixels from it"),
    "empty": (OVERLAY, "", "error", None, "must describe at least one abnormality"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_an_overlay(write: Callable[..., Path], fault: str) -> None:
    old, new, level, row, message = FAULTS[fault]
    text = OVERLAY.replace(old, new, 1)
    assert text != OVERLAY
    index = read(write(overlay=text))
    finding = index.findings[0]
    assert (finding.level, finding.file, finding.row) == (level, f"{IMAGE}.OVERLAY", row)
    assert finding.image_id == "B_0001_1.LEFT_CC"
    assert message in finding.message
    assert {f.image_id for f in index.findings} == {"B_0001_1.LEFT_CC"}
    assert len(index.mammograms) == 4


def test_chains_may_touch_the_border_and_span_lines(write: Callable[..., Path]) -> None:
    text = OVERLAY.replace("10 12  2 2 4", "-1 12  2 2\n 4").replace("#\nA", "\n#\nA")
    index = read(write(overlay=text))
    assert index.findings == []
    assert np.argwhere(mask(first(index))).tolist() == [
        [y, x] for y in (12, 13, 14) for x in (0, 1)
    ]


def overlay(
    types: str, pathologies: str = "BENIGN", outlines: str = "BOUNDARY\n9 9 2 4 6 0 #"
) -> str:
    """One abnormality for each pathology, of the same types."""
    body = "\n".join(f"LESION_TYPE {kind}" for kind in types.split("|"))
    total = outlines.count("#")
    parts = [
        f"ABNORMALITY {n}\n{body}\nPATHOLOGY {word}\nTOTAL_OUTLINES {total}\n{outlines}"
        for n, word in enumerate(pathologies.split(), start=1)
    ]
    return "\n".join([f"TOTAL_ABNORMALITIES {len(parts)}", *parts])


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ("MASS SHAPE OVAL MARGINS N/A", "mass"),
        ("MASS SHAPE IRREGULAR-ARCHITECTURAL_DISTORTION MARGINS SPICULATED", "mass"),
        ("MASS SHAPE ARCHITECTURAL_DISTORTION MARGINS N/A", "mass"),
        ("OTHER", "other"),
        ("CALCIFICATION TYPE N/A DISTRIBUTION CLUSTERED", "calcification"),
        ("MASS SHAPE OVAL MARGINS N/A|CALCIFICATION TYPE COARSE DISTRIBUTION N/A", "calcification"),
        ("OTHER|MASS SHAPE N/A MARGINS N/A", "mass"),
    ],
)
def test_types(write: Callable[..., Path], types: str, expected: str) -> None:
    index = read(write(overlay=overlay(types)))
    assert index.findings == []
    assert [lesion.type for lesion in first(index).lesions] == [expected]


@pytest.mark.parametrize(
    ("pathologies", "label"),
    [
        ("BENIGN BENIGN_WITHOUT_CALLBACK", 0),
        ("UNPROVEN BENIGN", None),
        ("UNPROVEN MALIGNANT", 1),
    ],
)
def test_labels(write: Callable[..., Path], pathologies: str, label: int | None) -> None:
    index = read(write(overlay=overlay("MASS", pathologies)))
    assert index.findings == []
    assert first(index).label == label
    assert [str(lesion.pathology).upper() for lesion in first(index).lesions] == pathologies.split()


def test_each_boundary_is_a_lesion_and_cores_are_none(write: Callable[..., Path]) -> None:
    outlines = "BOUNDARY\n9 9 2 4 6 0 #\n\tCORE\n9 9 2 6 #\nBOUNDARY\n3 3 #"
    one = first(read(write(overlay=overlay("MASS", outlines=outlines))))
    assert [mask(one, n).sum() for n in range(len(one.lesions))] == [4, 1]


def test_an_abnormality_without_boundary_has_no_mask(write: Callable[..., Path]) -> None:
    index = read(write(overlay=overlay("MASS", "MALIGNANT", "CORE\n9 9 2 6 #")))
    (note,) = index.findings
    assert (note.level, note.row) == ("note", 2)
    assert note.action == "kept for its label, without a mask"
    assert (first(index).label, first(index).has_mask) == (1, False)


def test_mutated_files_never_raise_nor_change_in_silence(write: Callable[..., Path]) -> None:
    """One byte is replaced, or the rest cut off; what is read differs only if something is said.

    What no reader can tell: another digit, another code, blanks, and words that decide nothing.
    """
    root, rng = write(), random.Random(0)
    decisive = [(m.image_id, m.label, [(x.type, x.pathology) for x in m.lesions])
                for m in read(root).mammograms]  # fmt: skip
    for name in ("B-0001-1.ics", "B_0001_1.LEFT_CC.OVERLAY"):
        path = (root / IMAGE).parent / name
        whole = path.read_bytes()
        for _ in range(150):
            at = rng.randrange(len(whole))
            tail = b"" if rng.random() < 0.2 else rng.randbytes(1) + whole[at + 1 :]
            path.write_bytes(whole[:at] + tail)
            index = read(root)
            found = [(m.image_id, m.label, [(x.type, x.pathology) for x in m.lesions])
                     for m in index.mammograms]  # fmt: skip
            assert index.findings or found == decisive
        path.write_bytes(whole)
