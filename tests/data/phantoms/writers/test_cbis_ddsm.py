"""Phantom → files of CBIS-DDSM → adapter, in all three editions.

DICOM masks come back to the pixel; a JPEG's within one pixel of its border, as it is lossy.
"""

import csv
from pathlib import Path

import numpy as np
import pydicom
import pytest
from scipy.ndimage import binary_dilation, binary_erosion

from mtlbench.config import DataConfig
from mtlbench.data.adapters import cbis_ddsm, phantom
from mtlbench.data.index import write_index
from mtlbench.data.mammogram import Mammogram
from mtlbench.data.outlines import MaskFile
from mtlbench.data.phantoms.writers import cbis_ddsm as writer
from mtlbench.errors import DataError

CONFIG = DataConfig(size=(160, 120), patients=10, phantom_seed=2)
KINDS = {"Mass": "mass", "Calc": "calcification"}


@pytest.fixture
def real_csvs(real_data: Path) -> Path:
    return real_data / "cbis-ddsm" / "csv"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("dicom")
    writer.write(root, CONFIG)
    return root


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory, write_jpeg_edition) -> Path:
    root = tmp_path_factory.mktemp("jpeg")
    write_jpeg_edition(root, CONFIG)
    return root


@pytest.fixture(scope="module")
def drawn() -> dict[tuple[str, str, str], Mammogram]:
    """Phantoms by patient, side and view."""
    mammograms = phantom.read(Path(), CONFIG).mammograms
    return {(f"P_0{m.patient_id[1:]}", m.side, m.view): m for m in mammograms}


def truth(ours: Mammogram, number: int, kind: str) -> np.ndarray:
    lesion = [lesion for lesion in ours.lesions if lesion.type == kind][number]
    return lesion.outline.rasterise(*CONFIG.size).whole(*CONFIG.size)


def test_dicoms_are_read_back_as_drawn(written, drawn):
    index = cbis_ddsm.read(written, DataConfig())
    assert all(finding.message.startswith("moved to test") for finding in index.findings)
    expected = sum(len({x.type for x in m.lesions}) for m in drawn.values())
    assert len(index.mammograms) == expected > 10
    for theirs in index.mammograms:
        ours = drawn[theirs.patient_id, theirs.side, theirs.view]
        kind = KINDS[theirs.image_id[:4]]
        assert np.array_equal(theirs.pixels(), ours.pixels().astype(int) * 257)
        assert (theirs.density, theirs.has_mask) == (ours.density, True)
        assert [x.type for x in theirs.lesions] == [x.type for x in ours.lesions if x.type == kind]
        for number, lesion in enumerate(theirs.lesions):
            mask = lesion.outline.rasterise(*CONFIG.size).whole(*CONFIG.size)
            assert np.array_equal(mask, truth(ours, number, kind))
            assert lesion.outline.scaled is False


def test_jpegs_are_read_back_to_a_pixel_of_the_border(jpegs, drawn, written):
    index = cbis_ddsm.read(jpegs, DataConfig())
    dicoms = cbis_ddsm.read(written, DataConfig()).mammograms
    assert [m.image_id for m in index.mammograms] == [m.image_id for m in dicoms]
    for theirs in index.mammograms:
        ours = drawn[theirs.patient_id, theirs.side, theirs.view]
        assert np.abs(theirs.pixels().astype(int) - ours.pixels()).max() < 40
        for number, lesion in enumerate(theirs.lesions):
            mask = lesion.outline.rasterise(*CONFIG.size).whole(*CONFIG.size)
            exact = truth(ours, number, lesion.type)
            assert not (mask & ~binary_dilation(exact)).any()
            assert not (binary_erosion(exact) & ~mask).any()


def test_both_layouts_and_both_orders_of_files_occur(written):
    classic = list(written.glob("CBIS-DDSM/*/2.25.*/2.25.*/00000[01].dcm"))
    descriptive = list(written.glob("manifest-1/CBIS-DDSM/*/??-??-2016-DDSM-?????/1-*/1-[12].dcm"))
    assert classic
    assert descriptive
    assert len(classic) + len(descriptive) == len(list(written.rglob("*.dcm")))
    patients = {path.relative_to(written).parts[1].split("_")[2] for path in classic}
    assert max(patients) <= "00005"
    first = {
        pydicom.dcmread(path).SeriesDescription for path in written.rglob("*_1/*/*/000000.dcm")
    }
    assert first == {"cropped images", "ROI mask images"}


def test_headers_are_those_of_the_originals(written):
    for path in written.rglob("*.dcm"):
        header = pydicom.dcmread(path)
        assert header.file_meta.TransferSyntaxUID.name == "Implicit VR Little Endian"
        assert header.PatientOrientation in ("CC", "MLO")
        assert header.PatientID in path.parts
        assert header.BitsStored == (8 if header.SeriesDescription == "ROI mask images" else 16)
        assert str(header.PatientName) == writer.NAME


def test_names_and_dates_stay_in_the_headers(written, jpegs, tmp_path):
    for root in (written, jpegs):
        index = cbis_ddsm.read(root, DataConfig())
        write_index(index, tmp_path)
        told = repr(index) + "".join(path.read_text() for path in tmp_path.glob("*.csv"))
        assert "Secret" not in told
        assert "20160720" not in told


def test_csv_quirks(written):
    for kind, column in (("calc", "cropped image file path"), ("mass", "ROI mask file path")):
        paths = list(written.glob(f"csv/{kind}_case_description_*_set.csv"))
        assert len(paths) == 2
        for path in paths:
            with path.open(newline="") as stream:
                rows = list(csv.DictReader(stream))
            assert rows
            for row in rows:
                assert [name for name in row if row[name].endswith("\n")] == [column]
                assert ("breast_density" in row) == (kind == "mass")


def test_columns_are_those_of_the_originals(written, real_csvs):
    for path in real_csvs.glob("*.csv"):
        ours = (written / "csv" / path.name).read_text().splitlines()[0]
        assert ours == path.read_text().splitlines()[0]


def test_one_patient_leaks_and_a_view_is_there_twice(written):
    index = cbis_ddsm.read(written, DataConfig())
    moved = [finding for finding in index.findings if finding.message.startswith("moved")]
    assert {finding.image_id[:21] for finding in moved} == {"Mass-Training_P_00001"}
    films = [m.film for m in index.mammograms if m.film]
    assert len(films) == 2 * len(set(films)) > 0
    assert {m.split for m in index.mammograms} == {"train", "test"}


def test_the_same_settings_give_the_same_bytes(written, tmp_path):
    writer.write(tmp_path, CONFIG)
    names = sorted(path.relative_to(written) for path in written.rglob("*") if path.is_file())
    assert names == sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert all((written / name).read_bytes() == (tmp_path / name).read_bytes() for name in names)


def test_a_killed_writer_leaves_no_listing(tmp_path, monkeypatch):
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pydicom.Dataset, "save_as", killed)
    with pytest.raises(KeyboardInterrupt):
        writer.write(tmp_path, CONFIG)
    assert not list(tmp_path.rglob("*.csv"))


def test_healthy_phantoms_alone_are_no_such_set(tmp_path):
    healthy = DataConfig(size=(64, 48), patients=1, phantom_seed=3)
    assert not any(m.lesions for m in phantom.read(tmp_path, healthy).mammograms)
    with pytest.raises(DataError, match="images with lesions only, but none of 1 phantom patients"):
        writer.write(tmp_path, healthy)


def test_a_jpeg_mask_is_cut_in_the_middle(jpegs):
    outlines = [
        x.outline for m in cbis_ddsm.read(jpegs, DataConfig()).mammograms for x in m.lesions
    ]
    assert all(isinstance(outline, MaskFile) and outline.above == 127 for outline in outlines)
