import plistlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import xlrd
from pydicom.dataset import Dataset

from mtlbench.config import DataConfig
from mtlbench.data.adapters import inbreast, phantom
from mtlbench.data.check import check, errors
from mtlbench.data.mammogram import Index, Mammogram
from mtlbench.data.phantoms.writers import write

CONFIG = DataConfig(size=(128, 96), patients=8, phantom_seed=3)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("inbreast") / "new"
    write(root, "inbreast", CONFIG)
    return root


@pytest.fixture(scope="module")
def index(root: Path) -> Index:
    return inbreast.read(root, CONFIG)


@pytest.fixture(scope="module")
def drawn() -> list[Mammogram]:
    return phantom.read(Path(), CONFIG).mammograms


def mask_of(mammogram: Mammogram, kind: str) -> np.ndarray:
    size = (mammogram.height, mammogram.width)
    masks = [
        lesion.outline.rasterise(*size).whole(*size)
        for lesion in mammogram.lesions
        if lesion.outline is not None and lesion.type == kind
    ]
    return np.any([np.zeros(size, dtype=bool), *masks], axis=0)


def test_it_is_read_back_as_it_was_drawn(index: Index, drawn: list[Mammogram]) -> None:
    assert index.findings == []
    for ours, theirs in zip(drawn, index.mammograms, strict=True):
        for name in ("side", "view", "label", "density", "height", "width", "has_mask"):
            assert getattr(theirs, name) == getattr(ours, name)
        assert theirs.spacing_mm == pytest.approx(ours.spacing_mm, rel=1e-5)
        assert {(x.type, x.pathology) for x in theirs.lesions} == {
            (x.type, x.pathology) for x in ours.lesions
        }
    patients = [
        (m.patient_id, ours.patient_id) for m, ours in zip(index.mammograms, drawn, strict=True)
    ]
    assert len(set(patients)) == CONFIG.patients


def test_pixels_are_multiples_of_64_and_right_breasts_mirrored(
    index: Index, drawn: list[Mammogram]
) -> None:
    for ours, theirs in zip(drawn, index.mammograms, strict=True):
        pixels = theirs.pixels()
        assert pixels.dtype == np.uint16
        assert theirs.chest_wall == theirs.side
        facing = pixels[:, ::-1] if theirs.side == "right" else pixels
        np.testing.assert_array_equal(facing, ours.pixels().astype(int) * 64)


def test_masks_are_those_drawn(index: Index, drawn: list[Mammogram]) -> None:
    """Points have six decimals, so only a pixel within 1e-6 of an edge could change."""
    n_lesions = 0
    for ours, theirs in zip(drawn, index.mammograms, strict=True):
        for kind in ("mass", "calcification"):
            truth = mask_of(ours, kind)
            mask = mask_of(theirs, kind)
            np.testing.assert_array_equal(mask[:, ::-1] if ours.side == "right" else mask, truth)
            n_lesions += truth.any()
    assert n_lesions >= 5


def test_the_layout_is_that_of_the_original(root: Path, drawn: list[Mammogram]) -> None:
    assert {path.name for path in root.iterdir()} == {
        "AllDICOMs", "AllXML", "INbreast.csv", "INbreast.xls",
    }  # fmt: skip
    names = sorted(path.name for path in (root / "AllDICOMs").iterdir())
    assert names[0].startswith("20586908_")
    assert names[0].endswith("_MG_L_CC_ANON.dcm")
    assert names[3].endswith("_MG_R_ML_ANON.dcm")
    lines = (root / "INbreast.csv").read_text().splitlines()
    assert lines[0] == (
        "Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads"
    )
    assert len(lines) == 1 + len(drawn)
    n_lesions = sum(bool(m.lesions) for m in drawn)
    assert len(list((root / "AllXML").iterdir())) == n_lesions


def test_the_xls_ends_in_a_blank_and_a_totals_row(root: Path, drawn: list[Mammogram]) -> None:
    sheet = xlrd.open_workbook(root / "INbreast.xls").sheet_by_index(0)
    assert sheet.row_values(0)[8] == "Mass "
    assert sheet.nrows == 1 + len(drawn) + 2
    assert set(sheet.row_values(sheet.nrows - 2)) == {""}
    masses = sum(any(x.type == "mass" for x in m.lesions) for m in drawn)
    assert sheet.row_values(sheet.nrows - 1)[8] == masses
    birads = {type(value) for value in sheet.col_values(7)[1 : 1 + len(drawn)]}
    assert birads == {float, str}


def test_regions_are_property_lists_with_single_points(root: Path) -> None:
    n_points = set()
    for path in (root / "AllXML").iterdir():
        image = plistlib.loads(path.read_bytes())["Images"][0]
        assert image["NumberOfROIs"] == len(image["ROIs"])
        for region in image["ROIs"]:
            assert region["NumberOfPoints"] == len(region["Point_px"])
            n_points.add(len(region["Point_px"]))
    assert 1 in n_points
    assert max(n_points) > 2


def test_headers_hold_a_name_that_nothing_repeats(root: Path, index: Index) -> None:
    path = root / index.mammograms[0].path
    header = pydicom.dcmread(path, stop_before_pixels=True)
    assert header.PatientName == "Phantom^Secret"
    assert header.file_meta.TransferSyntaxUID.name == "Explicit VR Little Endian"
    assert (header.BitsStored, header.PhotometricInterpretation) == (14, "MONOCHROME2")
    assert "Secret" not in repr(index)


def test_all_is_well_and_the_bytes_are_the_same_again(
    root: Path, index: Index, tmp_path: Path
) -> None:
    assert errors(check(index, CONFIG).findings) == []
    write(tmp_path / "again", "inbreast", CONFIG)
    files = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    assert len(files) > 32
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (root / file).read_bytes()


def test_a_killed_writer_leaves_no_listing(
    tmp_path: Path, kill_at_fourth: Callable[[type, str], None]
) -> None:
    kill_at_fourth(Dataset, "save_as")
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "new", "inbreast", CONFIG)
    assert not any((tmp_path / "new" / name).exists() for name in ["INbreast.csv", "INbreast.xls"])
