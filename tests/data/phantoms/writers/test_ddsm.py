from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from mtlbench.config import DataConfig
from mtlbench.data.adapters import ddsm, phantom
from mtlbench.data.adapters.ddsm.ics import Report
from mtlbench.data.adapters.ddsm.overlay import parse_overlay
from mtlbench.data.mammogram import Finding, Index
from mtlbench.data.outlines import Chain
from mtlbench.data.phantoms.writers import ddsm as writer
from mtlbench.errors import DataError
from mtlbench.records import write_text

CONFIG = DataConfig(size=(128, 96), patients=12, phantom_seed=3)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ddsm")
    writer.write(root, CONFIG)
    return root


@pytest.fixture(scope="module")
def index(written: Path) -> Index:
    return ddsm.read(written, CONFIG)


def test_phantoms_are_read_back_as_they_were_drawn(index: Index) -> None:
    """Pixels times 16 and masks to the pixel; spacing to six digits."""
    drawn = {(m.patient_id[1:], m.side, m.view): m for m in phantom.read(Path(), CONFIG).mammograms}
    lesions = 0
    assert len(index.mammograms) == len(drawn) == 48
    for theirs in index.mammograms:
        ours = drawn[theirs.patient_id[2:], theirs.side, theirs.view]
        assert theirs.image_id == f"{theirs.patient_id}_1.{ours.side.upper()}_{ours.view}"
        np.testing.assert_array_equal(theirs.pixels(), ours.pixels().astype(int) * 16)
        assert (theirs.label, theirs.density) == (ours.label, ours.density)
        assert theirs.has_mask
        assert theirs.spacing_mm == pytest.approx(ours.spacing_mm, rel=1e-5)
        for one, other in zip(theirs.lesions, ours.lesions, strict=True):
            assert (one.type, one.pathology) == (other.type, other.pathology)
            assert isinstance(one.outline, Chain)
            assert other.outline is not None
            found, expected = one.outline.rasterise(128, 96), other.outline.rasterise(128, 96)
            np.testing.assert_array_equal(found.whole(128, 96), expected.whole(128, 96))
            lesions += 1
    assert lesions >= 10


def test_the_only_oddity_is_one_wrong_total(written: Path, index: Index) -> None:
    (note,) = index.findings
    assert note.level == "note"
    assert "outlines, but there are" in note.message
    line = (written / note.file).read_text().splitlines()[(note.row or 0) - 1]
    assert line.startswith("TOTAL_OUTLINES ")


def test_the_layout_is_that_of_the_original(written: Path, index: Index) -> None:
    for mammogram in index.mammograms:
        cancer = any(m.label for m in index.mammograms if m.patient_id == mammogram.patient_id)
        number = mammogram.patient_id[2:]
        if cancer:
            assert mammogram.path.startswith(f"cases/cancers/cancer_01/case{number}/")
        else:
            assert mammogram.path.split("/")[1] in ("normals", "benigns")
    texts = [path.read_text() for path in written.rglob("*.ics")]
    assert len(texts) == 12
    assert all(text.startswith(" \nics_version 1.0\nfilename ") for text in texts)
    assert {m.patient_id[0] for m in index.mammograms} == set("ABCD")
    overlays = [path.read_text() for path in written.rglob("*.OVERLAY")]
    assert any("\n\tCORE\n" in text for text in overlays)


def test_equal_settings_give_equal_bytes(written: Path, tmp_path: Path) -> None:
    few = CONFIG.model_copy(update={"patients": 5})
    writer.write(tmp_path, few)
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 25
    for name in files:
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes()


def test_a_killed_writer_leaves_no_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_overlays(path: Path, text: str) -> None:
        if path.suffix == ".ics":
            raise KeyboardInterrupt
        write_text(path, text)

    monkeypatch.setattr(writer, "write_text", write_overlays)
    with pytest.raises(KeyboardInterrupt):
        writer.write(tmp_path, CONFIG)
    with pytest.raises(DataError, match=r"must hold the \.ics files"):
        ddsm.read(tmp_path, CONFIG)


def test_cases_end_at_four_digits(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at most 9999 patients, but got 10000"):
        writer.write(tmp_path, DataConfig(patients=10000))


@pytest.mark.parametrize("seed", range(40))
def test_traced_chains_give_the_mask_with_its_holes_filled(seed: int) -> None:
    """Each connected part of noise, against scipy's filling of it."""
    mask = np.random.default_rng(seed).random((9, 11)) < 0.1 + 0.02 * seed
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    chains = list(writer.trace(mask, left=20, top=30))
    assert len(chains) == count
    for number, chain in enumerate(chains, start=1):
        text = f"ABNORMALITY 1\nLESION_TYPE MASS\nPATHOLOGY BENIGN\nBOUNDARY\n{chain}"
        findings: list[Finding] = []
        ((outline,),) = (a.outlines for a in parse_overlay(text, 50, 50, Report("", findings)))
        assert findings == []
        assert outline is not None
        expected = np.zeros((50, 50), dtype=bool)
        expected[30:39, 20:31] = ndimage.binary_fill_holes(parts == number)
        np.testing.assert_array_equal(outline.rasterise(50, 50).whole(50, 50), expected)
