"""INbreast's terms allow no copy: a release of five small images, written by hand."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pydicom
import pytest
import xlwt
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from mtlbench.config import DataConfig, LabelRule
from mtlbench.data.adapters import inbreast
from mtlbench.data.check import check
from mtlbench.data.index import write_index
from mtlbench.data.mammogram import Index
from mtlbench.data.outlines import Point, Polygon
from mtlbench.errors import DataError

CONFIG = DataConfig(size=(40, 30))
HEADER = "Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads"
ROWS = (
    ("R", "CC", "20586908", "3", "5"),
    ("R", "MLO", "20586934", "3", "4a"),
    ("L", "CC", "20586960", "", "2"),
    ("L", "MLO", "20586986", "1", "1"),
    ("L", "CC", "20587054", "4", "3"),
)
CSV = "\n".join(
    [HEADER, *(f"removed;removed;{s};{v};201001;{n};{acr};{b}" for s, v, n, acr, b in ROWS), ""]
)
NAMES = {
    "20586908": "20586908_aa11_MG_R_CC_ANON.dcm",
    "20586934": "20586934_aa11_MG_R_ML_ANON.dcm",
    "20586960": "20586960_aa11_MG_L_CC_ANON.dcm",
    "20586986": "20586986_aa11_MG_L_ML_ANON.dcm",
    "20587054": "20587054_bb22_MG_L_CC_ANON.dcm",
}
SQUARE = [(4, 6), (9, 6), (9, 12), (4, 12)]


def plist(*regions: tuple[str, list[tuple[float, float]]]) -> str:
    """As OsiriX writes it."""
    return f"""\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple Computer//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Images</key>
	<array>
		<dict>
			<key>ImageIndex</key>
			<integer>0</integer>
			<key>NumberOfROIs</key>
			<integer>{len(regions)}</integer>
			<key>ROIs</key>
			<array>{"".join(roi(*region) for region in regions)}
			</array>
		</dict>
	</array>
</dict>
</plist>
"""


def roi(name: str, points: list[tuple[float, float]]) -> str:
    texts = "".join(f"\n<string>({x:f}, {y:f})</string>" for x, y in points)
    return f"""
<dict>
<key>Area</key>
<real>0.0</real>
<key>Name</key>
<string>{name}</string>
<key>NumberOfPoints</key>
<integer>{len(points)}</integer>
<key>Point_px</key>
<array>{texts}
</array>
</dict>"""


XMLS = {
    "20586908": plist(("Mass", SQUARE), ("Calcification", [(20, 30)])),
    "20586934": plist(("Cluster", SQUARE), ("Asymmetry", SQUARE)),
    "20586960": plist(("Calcifications", [(10, 10), (14, 10)])),
}


def write_dicom(path: Path, seed: int = 0) -> None:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.PatientName, dataset.PatientID, dataset.StudyDate = "Secret^Name", "S3", "20100131"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 40, 30, 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 14, 13
    dataset.PixelRepresentation, dataset.PhotometricInterpretation = 0, "MONOCHROME2"
    dataset.ImagerPixelSpacing, dataset.Manufacturer = [0.07, 0.07], "Siemens"
    dataset.PatientOrientation = ["A", "F"] if "_L_" in path.name else ["P", "F"]
    pixels = np.random.default_rng(seed).integers(0, 2**14, (40, 30), dtype=np.uint16)
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(path, enforce_file_format=True)


@pytest.fixture
def release(tmp_path: Path) -> Callable[..., Path]:
    def write(
        csv: str | None = CSV,
        xmls: Mapping[str, str | bytes] = XMLS,
        below: str = ".",
        names: Mapping[str, str] = NAMES,
    ) -> Path:
        base = tmp_path / below
        for folder in ("AllDICOMs", "AllXML"):
            (base / folder).mkdir(parents=True)
        for number, name in enumerate(names.values()):
            write_dicom(base / "AllDICOMs" / name, number)
        for name, content in xmls.items():
            raw = content if isinstance(content, bytes) else content.encode()
            (base / "AllXML" / f"{name}.xml").write_bytes(raw)
        if csv is not None:
            (base / "INbreast.csv").write_text(csv)
        return tmp_path

    return write


def write_xls(root: Path, changes: Mapping[int, Mapping[int, object]] | None = None) -> None:
    """The .xls: the CSV's rows with marks, a blank one and the totals; `changes` by row, column."""
    header = [*HEADER.split(";"), "Mass ", "Micros", "Distortion", "Asymmetry", "Notes"]
    rows: list[list[object]] = [list(header)]
    for (side, view, number, acr, birads), mark in zip(ROWS, ("X", "", "", "", ""), strict=True):
        cells: list[object] = ["removed", "removed", side, view, 201001, int(number)]
        cells += [int(acr) if acr else " ", int(birads) if birads.isdigit() else birads, mark]
        rows.append([*cells, "", "", "", "sem notas"])
    rows += [[], ["", "", "", "", "", "", "", "", 108, 301, 6, 4]]
    for at, columns in (changes or {}).items():
        for column, value in columns.items():
            rows[at][column] = value
    book = xlwt.Workbook()
    sheet = book.add_sheet("Sheet1")
    for at, cells in enumerate(rows):
        for column, value in enumerate(cells):
            if value != "":
                sheet.write(at, column, value)
    book.save(str(root / "INbreast.xls"))


def found(index: Index) -> list[tuple[str, str, int | None, str]]:
    return [(f.level, f.file, f.row, f.image_id) for f in index.findings]


@pytest.mark.parametrize("below", [".", "INbreast Release 1.0"])
def test_a_release_as_it_comes(release: Callable[..., Path], below: str) -> None:
    index = inbreast.read(release(below=below), CONFIG)
    one, two, three, four, five = index.mammograms
    start = "" if below == "." else "INbreast Release 1.0/"
    assert [m.image_id for m in index.mammograms] == list(NAMES)
    assert [m.patient_id for m in index.mammograms] == ["aa11"] * 4 + ["bb22"]
    assert [m.exam_id for m in index.mammograms] == ["aa11"] * 4 + ["bb22"]
    assert [m.label for m in index.mammograms] == [1, 1, 0, 0, 0]
    assert [m.view for m in index.mammograms] == ["CC", "MLO", "CC", "MLO", "CC"]
    assert [m.side for m in index.mammograms] == ["right"] * 2 + ["left"] * 3
    assert [m.chest_wall for m in index.mammograms] == ["right"] * 2 + ["left"] * 3
    assert [m.birads for m in index.mammograms] == ["5", "4a", "2", "1", "3"]
    assert [m.density for m in index.mammograms] == ["3", "3", "", "1", "4"]
    assert [m.has_mask for m in index.mammograms] == [True, True, True, True, False]
    assert [(lesion.type, lesion.pathology) for lesion in one.lesions + two.lesions] == [
        ("mass", "malignant"), ("calcification", "malignant"),
        ("calcification", "malignant"), ("other", "malignant"),
    ]  # fmt: skip
    assert [lesion.pathology for lesion in three.lesions] == ["benign"]
    assert four.lesions == five.lesions == ()
    assert (one.label_source, one.spacing_mm, one.scanner) == ("BI-RADS >= 4", 0.07, "Siemens")
    assert (one.height, one.width) == (40, 30) == one.pixels().shape
    assert one.path == f"{start}AllDICOMs/{NAMES['20586908']}"
    assert (one.origin, one.row, five.row) == (f"{start}INbreast.csv", 2, 6)
    assert [str(finding) for finding in index.findings] == [
        f"{start}INbreast.csv:6: 20587054: not BI-RADS 1, but without regions in AllXML: "
        "kept for its label, without a mask"
    ]
    assert check(index, CONFIG).findings == index.findings


def test_outlines_of_one_two_and_more_points(release: Callable[..., Path]) -> None:
    one, _, three, *_ = inbreast.read(release(), CONFIG).mammograms
    mass, spot = (lesion.outline for lesion in one.lesions)
    assert mass == Polygon(tuple((float(x), float(y)) for x, y in SQUARE))
    assert spot == Point(20, 30)
    line = three.lesions[0].outline
    assert line is not None
    mask = line.rasterise(40, 30).whole(40, 30)
    assert np.argwhere(mask).tolist() == [[10, x] for x in range(10, 15)]


@pytest.mark.parametrize(
    ("points", "pixels"),
    [
        ([(3, 4), (3, 4)], {(3, 4)}),
        ([(3, 8), (3, 5)], {(3, 5), (3, 6), (3, 7), (3, 8)}),
        ([(2, 2), (5, 5)], {(2, 2), (3, 3), (4, 4), (5, 5)}),
    ],
)
def test_two_points_are_a_line_one_pixel_wide(
    release: Callable[..., Path], points: list[tuple[float, float]], pixels: set[tuple[int, int]]
) -> None:
    root = release(xmls={"20586908": plist(("Mass", points))})
    outline = inbreast.read(root, CONFIG).mammograms[0].lesions[0].outline
    assert outline is not None
    mask = outline.rasterise(40, 30).whole(40, 30)
    assert {(x, y) for y, x in np.argwhere(mask).tolist()} == pixels


@pytest.mark.parametrize(
    ("name", "kind", "note"),
    [
        ("Mass", "mass", False),
        ("mass ", "mass", False),
        ("Spiculated Region", "mass", False),
        ("Espiculated Region", "mass", False),
        ("Cluster", "calcification", False),
        ("Calcification", "calcification", False),
        ("Calcifications", "calcification", False),
        ("Distortion", "other", False),
        ("Assymetry", "other", False),
        ("Unnamed", "other", True),
        ("Point 1", "other", True),
        ("Something new", "other", True),
    ],
)
def test_names_of_regions(release: Callable[..., Path], name: str, kind: str, note: bool) -> None:
    root = release(xmls=XMLS | {"20586908": plist((name, SQUARE))})
    index = inbreast.read(root, CONFIG)
    assert index.mammograms[0].lesions[0].type == kind
    notes = [f for f in index.findings if f.image_id == "20586908"]
    assert [f.file for f in notes] == ["AllXML/20586908.xml"] * note
    assert [f.action for f in notes] == ["taken as other"] * note


def test_a_region_without_points_leaves_no_mask(release: Callable[..., Path]) -> None:
    index = inbreast.read(release(xmls=XMLS | {"20586908": plist(("Mass", []))}), CONFIG)
    one = index.mammograms[0]
    assert ([lesion.outline for lesion in one.lesions], one.has_mask, one.label) == (
        [None],
        False,
        1,
    )
    assert found(index)[0] == ("note", "AllXML/20586908.xml", None, "20586908")


def test_a_cut_moves_labels_and_classes(release: Callable[..., Path]) -> None:
    config = DataConfig(label_rule=LabelRule(birads_cut="4b"))
    one, two, *_ = inbreast.read(release(), config).mammograms
    assert (one.label, two.label, two.label_source) == (1, 0, "BI-RADS >= 4b")
    assert {lesion.pathology for lesion in two.lesions} == {"benign"}


@pytest.mark.parametrize("birads", ["0", ""])
def test_incomplete_assessment_gives_no_label(release: Callable[..., Path], birads: str) -> None:
    root = release(CSV.replace("20586908;3;5", f"20586908;3;{birads}"))
    one = inbreast.read(root, CONFIG).mammograms[0]
    assert (one.label, one.label_source, one.birads) == (None, "", birads)
    assert {lesion.pathology for lesion in one.lesions} == {"unproven"}


def test_the_xls_alone_will_do(release: Callable[..., Path]) -> None:
    root = release(csv=None)
    write_xls(root)
    index = inbreast.read(root, CONFIG)
    assert [m.birads for m in index.mammograms] == ["5", "4a", "2", "1", "3"]
    assert [m.density for m in index.mammograms] == ["3", "3", "", "1", "4"]
    assert [(m.origin, m.row) for m in index.mammograms][-1] == ("INbreast.xls", 6)
    assert index.mammograms[-1].has_mask  # no mark in the .xls: healthy
    assert found(index) == [("note", "INbreast.xls", 6, "20587054")]
    assert index.findings[0].action == "kept as healthy"


def test_marks_without_regions_are_lesions_that_are_not_located(
    release: Callable[..., Path],
) -> None:
    root = release(xmls={})
    write_xls(root, {4: {9: "X"}})  # BI-RADS 1, yet with calcifications
    one, *_, four, _ = inbreast.read(root, CONFIG).mammograms
    assert [(lesion.type, lesion.outline) for lesion in one.lesions] == [("mass", None)]
    assert [(lesion.type, lesion.pathology) for lesion in four.lesions] == [
        ("calcification", "benign")
    ]
    assert (one.has_mask, four.has_mask) == (False, False)


def test_csv_and_xls_that_differ_are_noted(release: Callable[..., Path]) -> None:
    root = release()
    write_xls(root, {2: {7: "4b"}, 5: {5: 999}})
    index = inbreast.read(root, CONFIG)
    assert index.mammograms[1].birads == "4a"
    notes = {(f.file, f.row, f.message) for f in index.findings}
    assert ("INbreast.csv", 3, "BI-RADS 4a here, but 4b in INbreast.xls") in notes
    assert ("INbreast.csv", 6, "has no row in INbreast.xls") in notes
    assert ("INbreast.xls", 6, "has no row in INbreast.csv") in notes
    assert {f.level for f in index.findings} == {"note"}


def test_a_damaged_xls_is_an_error_beside_a_csv_and_alone(release: Callable[..., Path]) -> None:
    root = release()
    (root / "INbreast.xls").write_bytes(b"PK\x03\x04")
    index = inbreast.read(root, CONFIG)
    assert len(index.mammograms) == 5
    assert ("error", "INbreast.xls", None, "") in found(index)
    (root / "INbreast.csv").unlink()
    with pytest.raises(DataError, match=r"INbreast\.xls: damaged \.xls file"):
        inbreast.read(root, CONFIG)


def test_annotations_alone_give_an_index(release: Callable[..., Path], tmp_path: Path) -> None:
    index = inbreast.read(release(names={}), CONFIG)
    assert [m.patient_id for m in index.mammograms] == list(NAMES)
    assert {(m.height, m.width, m.path) for m in index.mammograms} == {(0, 0, "")}
    missing = [f for f in index.findings if f.level == "error"]
    assert [(f.file, f.row) for f in missing] == [("INbreast.csv", n) for n in range(2, 7)]
    assert all("no such file" in f.message for f in missing)
    assert len(index.mammograms[0].lesions) == 2
    write_index(index, tmp_path / "out")


def test_files_that_no_row_lists_are_left_out(release: Callable[..., Path]) -> None:
    root = release(xmls=XMLS | {"123": plist()}, names=NAMES | {"9": "99_cc33_MG_L_CC_ANON.dcm"})
    (root / "AllDICOMs" / "._20586908.dcm").write_bytes(b"\0")
    index = inbreast.read(root, CONFIG)
    assert len(index.mammograms) == 5
    assert [f for f in found(index) if f[1].startswith("All")] == [
        ("note", "AllDICOMs/._20586908.dcm", None, ""),
        ("note", "AllDICOMs/99_cc33_MG_L_CC_ANON.dcm", None, "99"),
        ("note", "AllXML/123.xml", None, "123"),
    ]
    assert {f.action for f in index.findings if f.file.startswith("All")} == {"left out"}


def test_a_name_that_contradicts_its_row_is_noted(release: Callable[..., Path]) -> None:
    index = inbreast.read(
        release(CSV.replace("R;CC;201001;20586908", "L;CC;201001;20586908")), CONFIG
    )
    assert found(index)[0] == ("note", "INbreast.csv", 2, "20586908")
    assert index.findings[0].message == "the file's name says R CC"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("20586908;3;5", "20586908;3;9", "BI-RADS must be 0 to 6, 4a, 4b or 4c, but got '9'"),
        ("20586908;3;5", "20586908;3", "must have 8 cells as the header has, but it has 7"),
        ("20586908;3;5", "20586908;3;5;", "must have 8 cells as the header has, but it has 9"),
        ("20586908;3;5", "../x;3;5", "File Name must be the image's number, but is not"),
        ("20586908;3;5", ";3;5", "File Name must be the image's number, but is not"),
        ("R;CC;201001;20586908", "X;CC;201001;20586908", "side must be one of l, r, but got 'X'"),
        ("R;CC;201001;20586908", "R;QQ;201001;20586908", "view must be one of cc, mlo"),
        ("20586908;3;5", f"20586908;{'3' * 2000};5", "a cell must have fewer than 1000"),
    ],
)
def test_a_bad_row_is_an_error_of_its_own(
    release: Callable[..., Path], old: str, new: str, message: str
) -> None:
    index = inbreast.read(release(CSV.replace(old, new)), CONFIG)
    faults = [f for f in index.findings if f.level == "error"]
    assert [(f.file, f.row) for f in faults] == [("INbreast.csv", 2)]
    assert message in faults[0].message
    assert [m.image_id for m in index.mammograms][-4:] == list(NAMES)[1:]


GOOD = plist(("Mass", SQUARE))
LINE = GOOD[: GOOD.index("(9.000000, 6")].count("\n") + 1


@pytest.mark.parametrize(
    ("content", "row", "message"),
    [
        ("", 1, "must be XML, but is damaged or cut off here"),
        (GOOD[:400], GOOD[:400].count("\n") + 1, "must be XML, but is damaged or cut off here"),
        (GOOD.replace("<key>Images", "<key>Pictures"), None, "must hold Images with ROIs"),
        (GOOD.replace("<integer>1<", "<integer>2<"), None, "as NumberOfROIs says, but holds 1"),
        (GOOD.replace("<integer>4<", "<integer>5<"), None, "as NumberOfPoints says, but has 4"),
        (GOOD.replace("<key>Name<", "<key>Game<"), None, "region 1 must have a Name"),
        (GOOD.replace("<key>Point_px<", "<key>Points<"), None, "region 1 must have a Name and a"),
        (GOOD.replace("(9.000000, 6", "(nan, 6"), LINE, "a point of region 1 must be (x, y)"),
        (GOOD.replace("(9.000000, 6", "(inf, 6"), LINE, "a point of region 1 must be (x, y)"),
        (GOOD.replace("(9.000000, 6", "(1e999, 6"), LINE, "a point of region 1 must be (x, y)"),
        (GOOD.replace("(9.000000, 6", f"({'9' * 400}, 6"), LINE, "a point of region 1 must be"),
        (GOOD.replace("(9.000000, 6.000000)", "(9)"), LINE, "a point of region 1 must be (x, y)"),
        (GOOD.replace("<string>(9.000000, 6.000000)</string>", "<true/>"), None, "must be (x, y)"),
        (
            GOOD.replace("<plist ", '<!DOCTYPE p [<!ENTITY a "aaaa">]><plist ').replace(
                '<!DOCTYPE plist PUBLIC "-//Apple Computer//DTD PLIST 1.0//EN" '
                '"http://www.apple.com/DTDs/PropertyList-1.0.dtd">', ""
            ),
            None,
            "must hold Images with ROIs, but does not (InvalidFileException)",
        ),
        (plist(("Mass", [(1, 1)] * 100_001)), None, "must hold at most 100000 points"),
    ],
)  # fmt: skip
def test_a_damaged_xml_is_an_error_of_its_image(
    release: Callable[..., Path], content: str, row: int | None, message: str
) -> None:
    index = inbreast.read(release(xmls=XMLS | {"20586908": content}), CONFIG)
    [fault] = [f for f in index.findings if f.level == "error"]
    assert (fault.file, fault.row, fault.image_id) == ("AllXML/20586908.xml", row, "20586908")
    assert message in fault.message
    assert (index.mammograms[0].lesions, index.mammograms[0].has_mask) == ((), False)
    assert len(index.mammograms) == 5


def test_two_files_of_one_image_are_an_error(release: Callable[..., Path]) -> None:
    index = inbreast.read(release(names=NAMES | {"x": "20586908_zz_MG_R_CC_ANON.dcm"}), CONFIG)
    assert found(index)[0] == ("error", "INbreast.csv", 2, "20586908")
    assert "must have one DICOM file, but has 2" in index.findings[0].message


def test_no_release_and_no_column(tmp_path: Path, release: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=r"must hold INbreast\.csv or INbreast\.xls"):
        inbreast.read(tmp_path, CONFIG)
    with pytest.raises(DataError, match="must hold"):
        inbreast.read(tmp_path / "absent", CONFIG)
    root = release(CSV.replace("Bi-Rads", "BIRADS"))
    with pytest.raises(DataError, match=r"INbreast\.csv:1: must have one column 'Bi-Rads', but"):
        inbreast.read(root, CONFIG)


def test_no_name_nor_date_gets_out(release: Callable[..., Path], tmp_path: Path) -> None:
    root = release(CSV.replace("removed", "Secret Name").replace("201001", "20100131"))
    write_xls(root)
    for name in NAMES.values():
        path = root / "AllDICOMs" / name
        path.write_bytes(path.read_bytes()[:-9])
    index = inbreast.read(root, CONFIG)
    write_index(index, tmp_path / "out")
    written = [path.read_text() for path in (tmp_path / "out").iterdir()]
    text = " ".join(
        [*map(str, check(index, CONFIG).findings), *written, *map(repr, index.mammograms)]
    )
    assert "cut off" in text
    assert not any(secret in text for secret in ("Secret", "201001", "S3", "20100131"))
    assert pydicom.dcmread(path, stop_before_pixels=True).PatientName == "Secret^Name"


@given(data=st.data())
def test_mutated_annotations_give_findings_or_a_data_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    (root / "AllXML").mkdir()
    (root / "INbreast.csv").write_text(CSV)
    (root / "AllXML" / "20586908.xml").write_text(GOOD)
    write_xls(root)
    path = root / data.draw(
        st.sampled_from(["INbreast.csv", "INbreast.xls", "AllXML/20586908.xml"])
    )
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    path.write_bytes(content)
    try:
        index = inbreast.read(root, CONFIG)
    except DataError:  # any other error fails the test
        return
    for mammogram in index.mammograms:
        for lesion in mammogram.lesions:
            if lesion.outline is not None:
                lesion.outline.rasterise(40, 30)
