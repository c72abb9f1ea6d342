import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mtlbench.config import DataConfig
from mtlbench.data.adapters import folder, mias, phantom
from mtlbench.data.outlines import Circle
from mtlbench.data.phantoms.writers import WRITERS, write
from mtlbench.errors import DataError

CONFIG = DataConfig(size=(128, 96), patients=8, phantom_seed=3)
MIAS_CONFIG = DataConfig(patients=12, phantom_seed=1)


@pytest.fixture(scope="module")
def written_mias(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mias")
    write(root, "mias", MIAS_CONFIG)
    return root


def test_folder_is_read_back_as_it_was_drawn(tmp_path: Path) -> None:
    write(tmp_path / "new" / "set", "folder", CONFIG)
    read = folder.read(tmp_path / "new" / "set", DataConfig())
    drawn = phantom.read(Path(), CONFIG)
    assert read.findings == []
    assert len(read.mammograms) == 32
    for ours, theirs in zip(drawn.mammograms, read.mammograms, strict=True):
        for name in ("image_id", "patient_id", "exam_id", "side", "view", "label", "density"):
            assert getattr(theirs, name) == getattr(ours, name)
        assert theirs.spacing_mm == pytest.approx(1.8)
        assert np.array_equal(theirs.pixels(), ours.pixels())
        classes = {lesion.mask_class for lesion in ours.lesions}
        assert {lesion.mask_class for lesion in theirs.lesions} == classes
        for value in classes if len(classes) == 1 else ():
            outlines = [lesion.outline for lesion in ours.lesions if lesion.outline]
            truth = np.any(
                [outline.rasterise(128, 96).whole(128, 96) for outline in outlines], axis=0
            )
            mask = np.asarray(Image.open(tmp_path / f"new/set/masks/{ours.image_id}.png"))
            assert np.array_equal(mask == value, truth)


def test_mias_layout_is_read_by_its_adapter(written_mias: Path) -> None:
    read = mias.read(written_mias, DataConfig())
    drawn = [m for m in phantom.read(Path(), MIAS_CONFIG).mammograms if m.view == "MLO"]
    assert [finding for finding in read.findings if finding.level == "error"] == []
    assert [m.image_id for m in read.mammograms] == [f"mdb{n:03d}" for n in range(1, 25)]
    bright = 0
    for ours, theirs in zip(drawn, read.mammograms, strict=True):
        assert (theirs.height, theirs.width) == (1024, 1024)
        assert (theirs.label, theirs.side) == (ours.label, ours.side)
        kinds = [(lesion.type, lesion.pathology) for lesion in ours.lesions]
        assert [(lesion.type, lesion.pathology) for lesion in theirs.lesions] == kinds
        pixels = theirs.pixels()
        half = pixels[:, :512].sum() > pixels[:, 512:].sum()
        assert half == (theirs.chest_wall == "left")
        for lesion in theirs.lesions:
            if isinstance(lesion.outline, Circle):
                bright += is_brighter_than_its_ring(pixels, lesion.outline)
    located = sum(lesion.outline is not None for m in read.mammograms for lesion in m.lesions)
    assert located >= 5
    assert bright >= 0.8 * located


def is_brighter_than_its_ring(pixels: np.ndarray, circle: Circle) -> bool:
    inside = circle.rasterise(*pixels.shape).whole(*pixels.shape)
    wide = (
        Circle(circle.x, circle.y, 1.6 * circle.radius)
        .rasterise(*pixels.shape)
        .whole(*pixels.shape)
    )
    return bool(pixels[inside].mean() > pixels[wide & ~inside].mean())


def test_mias_rows_have_the_form_of_the_original(written_mias: Path) -> None:
    lines = (written_mias / "Info.txt").read_text().splitlines()
    rows = [line for line in lines if line.startswith("mdb")]
    located = r"mdb\d{3} [FGD] (CIRC|SPIC|CALC) [BM] (\d+ \d+ \d+|\*NOTE 3\*)"
    assert all(re.fullmatch(rf"mdb\d{{3}} [FGD] NORM|{located}", row) for row in rows)
    assert (written_mias / "mdb001.pgm").read_bytes().startswith(b"P5")
    assert lines[-1].startswith("====")


def test_the_real_info_file_has_the_same_form(mini_mias: Path) -> None:
    lines = (mini_mias / "Info.txt").read_text(encoding="latin-1").splitlines()
    rows = [line.rstrip() for line in lines if re.match(r"mdb\d{3} ", line)]
    form = r"mdb\d{3} [FGD] (NORM|[A-Z]{4} [BM] (\d+ \d+ \d+|\*NOTE 3\*))"
    assert sum(bool(re.fullmatch(form, row)) for row in rows) >= len(rows) - 1  # mdb059


@pytest.mark.parametrize("layout", sorted(WRITERS))
def test_a_folder_with_files_is_refused(tmp_path: Path, layout: str) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="must be a new or empty folder"):
        write(tmp_path, layout, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_mias_numbers_end_at_three_digits(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at most 499 patients, but got 500"):
        write(tmp_path, "mias", DataConfig(patients=500))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("layout", "listing"), [("folder", "manifest.csv"), ("mias", "Info.txt")])
def test_a_killed_writer_leaves_no_listing(
    tmp_path: Path, layout: str, listing: str, kill_at_fourth: Callable[[type, str], None]
) -> None:
    kill_at_fourth(Image.Image, "save")
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, layout, CONFIG)
    assert not (tmp_path / listing).exists()
