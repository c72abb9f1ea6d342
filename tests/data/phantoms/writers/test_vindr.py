import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from mtlbench.config import DataConfig
from mtlbench.data.adapters import phantom, vindr
from mtlbench.data.check import check, errors
from mtlbench.data.mammogram import Index, Mammogram
from mtlbench.data.outlines import Box
from mtlbench.data.phantoms.writers import write

CONFIG = DataConfig(size=(128, 96), patients=8, phantom_seed=3)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("vindr") / "new"
    write(root, "vindr", CONFIG)
    return root


@pytest.fixture(scope="module")
def index(root: Path) -> Index:
    return vindr.read(root, CONFIG)


@pytest.fixture(scope="module")
def drawn() -> list[Mammogram]:
    return phantom.read(Path(), CONFIG).mammograms


def rows_of(root: Path) -> list[dict[str, str]]:
    with (root / "finding_annotations.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_it_is_read_back_as_it_was_drawn(index: Index, drawn: list[Mammogram]) -> None:
    assert errors(index.findings) == []
    for ours, theirs in zip(drawn, index.mammograms, strict=True):
        for name in ("side", "view", "label", "height", "width", "has_mask"):
            assert getattr(theirs, name) == getattr(ours, name)
        assert theirs.density == "ABCD"[int(ours.density) - 1]
        assert theirs.scanner == f"Phantom {ours.scanner}"
        assert [(x.type, x.pathology) for x in theirs.lesions if x.type != "other"] == [
            (x.type, x.pathology) for x in ours.lesions
        ]
    patients = {
        (m.patient_id, ours.patient_id) for m, ours in zip(index.mammograms, drawn, strict=True)
    }
    assert len(patients) == CONFIG.patients
    splits = [m.split for m in index.mammograms]
    assert splits == ["train"] * 16 + ["test"] * 4 + ["train"] * 12


def test_grey_levels_are_multiples_of_16_in_every_syntax(
    index: Index, drawn: list[Mammogram]
) -> None:
    for ours, theirs in zip(drawn, index.mammograms, strict=True):
        table = theirs.tone("raw")
        grey = theirs.pixels() if table is None else table[theirs.pixels()]
        facing = grey[:, ::-1] if theirs.side == "right" else grey
        np.testing.assert_array_equal(facing, ours.pixels().astype(int) * 16)
        assert theirs.chest_wall == theirs.side


def test_boxes_enclose_the_outlines_to_a_millionth_pixel(
    index: Index, drawn: list[Mammogram]
) -> None:
    n_lesions = 0
    for ours, theirs in zip(drawn, index.mammograms, strict=True):
        boxes = [lesion.outline for lesion in theirs.lesions if lesion.type != "other"]
        for lesion, box in zip(ours.lesions, boxes, strict=True):
            assert isinstance(box, Box)
            assert lesion.outline is not None
            x0, y0, x1, y1 = lesion.outline.bounds() or ()
            if ours.side == "right":
                x0, x1 = ours.width - 1 - x1, ours.width - 1 - x0
            assert box.bounds() == pytest.approx((x0, y0, x1, y1), abs=1e-6)
            region, mask = box.rasterise(128, 96), lesion.outline.rasterise(128, 96)
            tight = mask.mirrored(96) if ours.side == "right" else mask
            assert not (tight.whole(128, 96) & ~region.whole(128, 96)).any()
            n_lesions += 1
    assert n_lesions >= 5


def test_files_have_several_syntaxes_and_both_interpretations(root: Path) -> None:
    paths = sorted((root / "images").glob("*/*.dicom"))
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    assert {header.file_meta.TransferSyntaxUID.name for header in headers} == {
        "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1])",
        "JPEG 2000 Image Compression (Lossless Only)",
        "Explicit VR Little Endian",
        "RLE Lossless",
    }
    interpretations = {header.PhotometricInterpretation for header in headers}
    assert interpretations == {"MONOCHROME1", "MONOCHROME2"}
    assert {str(header.PatientName) for header in headers} == {"Phantom^Secret"}


def test_rows_have_the_quirks_of_the_original(root: Path, index: Index) -> None:
    rows = rows_of(root)
    categories = {row["finding_categories"] for row in rows}
    assert {
        "['No Finding']", "['Mass']", "['Suspicious Calcification']", "['Skin Thickening']",
        "['Mass', 'Suspicious Calcification']",
    } <= categories  # fmt: skip
    normal = next(row for row in rows if row["finding_categories"] == "['No Finding']")
    assert [normal[name] for name in ("finding_birads", "xmin", "ymax")] == ["", "", ""]
    assert {row["split"] for row in rows} == {"training", "test"}
    assert {row["breast_birads"][:8] for row in rows} == {"BI-RADS "}
    assert all(len(row[name]) == 32 for row in rows for name in ("study_id", "image_id"))
    outside = [f for f in check(index, CONFIG).findings if f.action == "the outline is clipped"]
    assert len(outside) == 1


def test_nothing_repeats_a_name_and_the_bytes_are_the_same_again(
    root: Path, index: Index, tmp_path: Path
) -> None:
    assert errors(check(index, CONFIG).findings) == []
    assert "Secret" not in repr(index)
    write(tmp_path / "again", "vindr", CONFIG)
    files = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    assert len(files) == 32 + 3
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (root / file).read_bytes()


def test_a_killed_writer_leaves_no_listing(
    tmp_path: Path, kill_at_fourth: Callable[[type, str], None]
) -> None:
    kill_at_fourth(Dataset, "save_as")
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "new", "vindr", CONFIG)
    assert not any(
        (tmp_path / "new" / name).exists()
        for name in ["finding_annotations.csv", "breast-level_annotations.csv"]
    )
