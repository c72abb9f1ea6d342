"""VinDr-Mammo's terms allow no copy: a release of two small studies, written by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from mtlbench.config import DataConfig, LabelRule
from mtlbench.data.adapters import vindr
from mtlbench.data.check import check
from mtlbench.data.index import write_index
from mtlbench.data.mammogram import Finding, Index
from mtlbench.data.outlines import Box
from mtlbench.errors import DataError

CONFIG = DataConfig(size=(40, 30))
BREAST_HEADER = (
    "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,"
    "breast_density,split"
)
HEADER = f"{BREAST_HEADER},finding_categories,finding_birads,xmin,ymin,xmax,ymax"
IMAGES = {
    "a1": "s1,r1,a1,L,CC,40,30,BI-RADS 4,DENSITY C,training",
    "a2": "s1,r1,a2,R,MLO,40,30,BI-RADS 2,DENSITY C,training",
    "b1": "s2,r2,b1,L,MLO,40,30,BI-RADS 5,DENSITY A,test",
    "b2": "s2,r2,b2,R,CC,40,30,BI-RADS 3,DENSITY D,test",
}
ROWS = (
    f"{IMAGES['a1']},['Mass'],BI-RADS 4,3.5,4.0,9.25,11.0",
    f"{IMAGES['a1']},\"['Focal Asymmetry']\",BI-RADS 3,1,1,2,2",
    f"{IMAGES['a2']},['No Finding'],,,,,",
    f"{IMAGES['b1']},\"['Mass', 'Suspicious Calcification']\",BI-RADS 5,20.5,30.0,31.5,41.0",
    f"{IMAGES['b1']},['Skin Thickening'],,0,0,5,5",
    f"{IMAGES['b2']},\"['Suspicious Calcification', 'Skin Retraction']\",BI-RADS 3,2,2,8,8",
    f"{IMAGES['b2']},['Nipple Retraction'],,1,1,3,3",
)
CSV = "\n".join([HEADER, *ROWS, ""])
BREASTS = "\n".join([BREAST_HEADER, *IMAGES.values(), ""])


def write_dicom(path: Path, seed: int) -> None:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.PatientName, dataset.StudyDate = "Secret^Name", "20100131"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 40, 30, 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation, dataset.PhotometricInterpretation = 0, "MONOCHROME2"
    dataset.ImagerPixelSpacing = [0.085, 0.085]
    pixels = np.random.default_rng(seed).integers(0, 2**12, (40, 30), dtype=np.uint16)
    dataset.PixelData = pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


@pytest.fixture
def release(tmp_path: Path) -> Callable[..., Path]:
    def write(
        csv: str = CSV, breasts: str | None = BREASTS, images: tuple[str, ...] = tuple(IMAGES)
    ) -> Path:
        for seed, name in enumerate(images):
            study = {"a": "s1", "b": "s2"}[name[0]]
            write_dicom(tmp_path / "images" / study / f"{name}.dicom", seed)
        (tmp_path / "finding_annotations.csv").write_text(csv)
        if breasts is not None:
            (tmp_path / "breast-level_annotations.csv").write_text(breasts)
        return tmp_path

    return write


def found(index: Index, level: str = "error") -> list[tuple[str, int | None, str]]:
    return [(f.file, f.row, f.image_id) for f in index.findings if f.level == level]


@pytest.mark.parametrize("breasts", [BREASTS, None])
def test_a_release_as_it_comes(release: Callable[..., Path], breasts: str | None) -> None:
    index = vindr.read(release(breasts=breasts), CONFIG)
    one, two, three, four = index.mammograms
    assert [m.image_id for m in index.mammograms] == ["a1", "a2", "b1", "b2"]
    assert [m.patient_id for m in index.mammograms] == ["s1", "s1", "s2", "s2"]
    assert [m.exam_id for m in index.mammograms] == ["s1", "s1", "s2", "s2"]
    assert [m.label for m in index.mammograms] == [1, 0, 1, 0]
    assert [m.birads for m in index.mammograms] == ["4", "2", "5", "3"]
    assert [m.density for m in index.mammograms] == ["C", "C", "A", "D"]
    assert [m.split for m in index.mammograms] == ["train", "train", "test", "test"]
    assert [(m.side, m.view) for m in (one, two)] == [("left", "CC"), ("right", "MLO")]
    assert [(lesion.type, lesion.pathology) for lesion in one.lesions] == [
        ("mass", "malignant"), ("other", "benign"),
    ]  # fmt: skip
    assert one.lesions[0].outline == Box(3.5, 4.0, 9.25, 11.0)
    assert (two.lesions, two.has_mask) == ((), True)
    assert [(x.type, x.pathology) for x in three.lesions] == [("calcification", "malignant")]
    assert [(x.type, x.pathology) for x in four.lesions] == [("calcification", "benign")]
    assert (one.label_source, one.spacing_mm) == ("BI-RADS >= 4 (breast)", 0.085)
    assert (one.height, one.width) == (40, 30) == one.pixels().shape
    assert (one.path, one.origin, one.row) == ("images/s1/a1.dicom", vindr.FINDINGS, 2)
    assert index.findings == [
        Finding(
            "note", vindr.FINDINGS, 5, "a box is of a mass and of calcifications", "b1",
            "drawn as a calcification",
        ),
        Finding(
            "note", vindr.FINDINGS, 5, "findings that are no lesion of a class: Skin Thickening",
            "b1", "not drawn",
        ),
        Finding(
            "note", vindr.FINDINGS, 7, "findings that are no lesion of a class: Nipple Retraction",
            "b2", "not drawn",
        ),
    ]  # fmt: skip
    clipped = [f for f in check(index, CONFIG).findings if f not in index.findings]
    assert [(f.level, f.image_id, f.action) for f in clipped] == [
        ("note", "b1", "the outline is clipped")
    ]


def test_a_box_holds_the_pixels_whose_centres_it_holds(release: Callable[..., Path]) -> None:
    one, _, three, _ = vindr.read(release(), CONFIG).mammograms
    inside, clipped = (m.lesions[0].outline for m in (one, three))
    assert inside is not None
    assert clipped is not None
    rows, columns = np.nonzero(inside.rasterise(40, 30).whole(40, 30))
    assert (set(rows), set(columns)) == (set(range(4, 12)), set(range(4, 10)))
    rows, columns = np.nonzero(clipped.rasterise(40, 30).whole(40, 30))
    assert (set(rows), set(columns)) == (set(range(30, 40)), set(range(21, 30)))


@pytest.mark.parametrize(("cut", "labels"), [("3", [1, 0, 1, 1]), ("5", [0, 0, 1, 0])])
def test_a_cut_moves_labels_and_classes(
    release: Callable[..., Path], cut: str, labels: list[int]
) -> None:
    config = DataConfig(label_rule=LabelRule.model_validate({"birads_cut": cut}))
    index = vindr.read(release(), config)
    assert [m.label for m in index.mammograms] == labels
    drawn = [m for m in index.mammograms if m.lesions]
    assert [m.lesions[0].pathology == "malignant" for m in drawn] == [labels[n] for n in (0, 2, 3)]


def test_a_finding_more_suspicious_than_its_breast_is_noted(release: Callable[..., Path]) -> None:
    root = release(CSV.replace("BI-RADS 3,2,2,8,8", "BI-RADS 4,2,2,8,8"))
    index = vindr.read(root, CONFIG)
    assert (index.mammograms[3].label, index.mammograms[3].lesions[0].pathology) == (0, "malignant")
    assert "a finding has BI-RADS >= 4, but the breast has not" in [
        f.message for f in index.findings
    ]


@pytest.mark.parametrize(
    ("old", "new", "pathology"),
    [("BI-RADS 4,3.5", ",3.5", "unproven"), ("4,3.5", "3,3.5", "benign")],
)
def test_pathology_is_the_findings(
    release: Callable[..., Path], old: str, new: str, pathology: str
) -> None:
    one = vindr.read(release(CSV.replace(old, new)), CONFIG).mammograms[0]
    assert (one.lesions[0].pathology, one.label) == (pathology, 1)


def test_a_finding_without_a_box_leaves_no_mask(release: Callable[..., Path]) -> None:
    index = vindr.read(release(CSV.replace("3.5,4.0,9.25,11.0", ",,,")), CONFIG)
    one = index.mammograms[0]
    assert (one.lesions[0].outline, one.has_mask, one.label) == (None, False, 1)
    assert found(index) == []
    assert (vindr.FINDINGS, 2, "a1") in found(index, "note")


def test_an_image_that_only_one_listing_has(release: Callable[..., Path]) -> None:
    without = "\n".join([HEADER, *ROWS[2:]])
    index = vindr.read(release(without, BREASTS.replace(f"{IMAGES['a2']}\n", "")), CONFIG)
    by_id = {m.image_id: m for m in index.mammograms}
    assert (by_id["a1"].label, by_id["a1"].has_mask, by_id["a1"].origin) == (
        1,
        False,
        vindr.BREASTS,
    )
    assert by_id["a2"].has_mask
    assert found(index) == []
    assert {(vindr.BREASTS, 2, "a1"), (vindr.FINDINGS, 2, "a2")} <= set(found(index, "note"))


def test_the_scanner_stands_in_the_metadata(release: Callable[..., Path]) -> None:
    root = release()
    metadata = root / "metadata.csv"
    metadata.write_text(
        "SOP Instance UID,Window Center,Manufacturer,Manufacturer's Model Name\n"
        "a1,\"['1', '2']\",SIEMENS,Mammomat\nb1,,\n"
    )
    index = vindr.read(root, CONFIG)
    assert [m.scanner for m in index.mammograms] == ["SIEMENS Mammomat", "", "", ""]
    [note] = [f for f in index.findings if f.file == "metadata.csv"]
    assert (note.level, note.row, note.action) == ("note", 3, "not used")
    metadata.write_text("SOP\n")
    [note] = [f for f in vindr.read(root, CONFIG).findings if f.file == "metadata.csv"]
    assert (note.level, note.row) == ("note", None)


def test_annotations_alone_give_an_index(release: Callable[..., Path], tmp_path: Path) -> None:
    index = vindr.read(release(images=()), CONFIG)
    assert {(m.height, m.width, m.path) for m in index.mammograms} == {(40, 30, "")}
    assert found(index) == [
        (vindr.FINDINGS, row, name) for name, row in (("a1", 2), ("a2", 4), ("b1", 5), ("b2", 7))
    ]
    assert all("no such file" in f.message for f in index.findings if f.level == "error")
    write_index(index, tmp_path / "out")


def test_files_that_no_row_lists_are_left_out(release: Callable[..., Path]) -> None:
    index = vindr.read(release(images=(*IMAGES, "b9")), CONFIG)
    assert index.findings[-1] == Finding(
        "note", "images/s2/b9.dicom", None, f"has no row in {vindr.FINDINGS}", "b9", "left out"
    )


@pytest.mark.parametrize(
    ("old", "new", "row", "message"),
    [
        ("['Mass'],", "['Lump'],", 2, "finding_categories must be known ones, but got 'Lump'"),
        ("['Mass'],", "Mass,", 2, "finding_categories must be a list such as ['Mass'], but got"),
        ("['Mass'],", "[],", 2, "finding_categories must be a list such as ['Mass'], but got"),
        ("['Mass'],", "__import__('os'),", 2, "finding_categories must be a list such as"),
        ("['Mass'],", "\"['Mass'],", 2, "must have 16 cells as the header has"),
        ("3.5,4.0", "nan,4.0", 2, "xmin, ymin, xmax, ymax must be numbers of pixels, but got nan"),
        ("3.5,4.0", "inf,4.0", 2, "must be numbers of pixels"),
        ("3.5,4.0", f"{10**30},4.0", 2, "must be numbers of pixels"),
        ("3.5,4.0", ",4.0", 2, "must be numbers of pixels"),
        ("3.5,4.0,9", "9.5,4.0,9", 2, "xmin <= xmax and ymin <= ymax must hold, but got 9.5"),
        ("BI-RADS 4,3.5", "BI-RADS 9,3.5", 2, "BI-RADS must be 0 to 6, 4a, 4b or 4c"),
        ("['No Finding'],,,,,", "['No Finding'],,1,1,2,2", 4, "No Finding must stand alone"),
        ("['Mass'],BI", "['No Finding'],BI", 2, "No Finding must stand alone"),
        ("s1,r1,a2", "../x,r1,a2", 4, "image_id and study_id must be of letters and digits"),
        ("s1,r1,a2", "s1,r1,", 4, "image_id and study_id must be of letters and digits"),
        ("a2,R,MLO,40,30", "a2,R,MLO,40,31", 4, "must have the size of its row, 40 x 31, but"),
        ("a2,R,MLO,40,30", "a2,R,MLO,4x,30", 4, "must have the size of its row, 4x x 30, but"),
        ("a2,R,MLO", "a2,Q,MLO", 4, "laterality must be one of l, r, but got 'Q'"),
        ("a2,R,MLO", "a2,R,XX", 4, "view_position must be one of cc, mlo, but got 'XX'"),
        ("BI-RADS 2", "BI-RADS X", 4, "BI-RADS must be 0 to 6"),
        ("DENSITY C,training,['No", "DENSITY E,training,['No", 4, "breast_density must be one of"),
        ("training,['No", "train,['No", 4, "split must be one of training, test, but got 'train'"),
        ("['No Finding'],,,,,", "['No Finding'],,,,", 4, "must have 16 cells as the header has"),
    ],
)
def test_a_bad_row_is_an_error_of_its_own(
    release: Callable[..., Path], old: str, new: str, row: int, message: str
) -> None:
    assert old in CSV
    index = vindr.read(release(CSV.replace(old, new, 1), breasts=None), CONFIG)
    faults = [f for f in index.findings if f.level == "error"]
    assert {(f.file, f.row) for f in faults} == {(vindr.FINDINGS, row)}
    assert message in faults[0].message
    assert {"b1", "b2"} <= {m.image_id for m in index.mammograms}


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("BI-RADS 4", "BI-RADS 3", "breast_birads"),
        ("training", "test", "split"),
        ("s1", "s2", "study_id"),
        ("L,CC", "R,CC", "laterality"),
    ],
)
def test_rows_and_listings_that_contradict(
    release: Callable[..., Path], old: str, new: str, name: str
) -> None:
    index = vindr.read(release(breasts=BREASTS.replace(old, new, 1)), CONFIG)
    [fault] = [f for f in index.findings if f.level == "error"]
    assert (fault.file, fault.row, fault.image_id) == (vindr.BREASTS, 2, "a1")
    assert fault.message.startswith(f"{name} must be ")
    assert f"as at {vindr.FINDINGS}:2, but is " in fault.message


def test_no_listing_and_no_column(tmp_path: Path, release: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=r"finding_annotations\.csv: no such file"):
        vindr.read(tmp_path, CONFIG)
    root = release(CSV.replace("xmax", "x_max"))
    with pytest.raises(
        DataError, match=r"annotations\.csv:1: must have one column 'xmax', but has 0"
    ):
        vindr.read(root, CONFIG)


def test_other_encodings_and_line_ends(release: Callable[..., Path]) -> None:
    root = release(breasts=None)
    path = root / "finding_annotations.csv"
    path.write_bytes(b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode())
    assert found(vindr.read(root, CONFIG)) == []
    path.write_bytes(CSV.encode().replace(b"['Mass'],", b"['M\xff\0ss'],", 1))
    assert found(vindr.read(root, CONFIG)) == [(vindr.FINDINGS, 2, "a1")]


def test_no_name_nor_date_gets_out(release: Callable[..., Path], tmp_path: Path) -> None:
    root = release()
    for path in (root / "images").rglob("*.dicom"):
        path.write_bytes(path.read_bytes()[:-9])
    index = vindr.read(root, CONFIG)
    write_index(index, tmp_path / "out")
    written = [path.read_text() for path in (tmp_path / "out").iterdir()]
    text = " ".join(
        [*map(str, check(index, CONFIG).findings), *written, *map(repr, index.mammograms)]
    )
    assert "cut off" in text
    assert "Secret" not in text
    assert "20100131" not in text


@given(data=st.data())
def test_mutated_annotations_give_findings_or_a_data_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    content = bytearray(CSV.encode())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    (root / "finding_annotations.csv").write_bytes(content)
    (root / "breast-level_annotations.csv").write_text(BREASTS)
    try:
        index = vindr.read(root, CONFIG)
    except DataError:  # any other error fails the test
        return
    for mammogram in index.mammograms:
        for lesion in mammogram.lesions:
            if lesion.outline is not None:
                lesion.outline.rasterise(40, 30)
