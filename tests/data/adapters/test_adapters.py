"""What holds of every adapter; a new one adds a line to `EXAMPLES`."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mtlbench.config import DataConfig
from mtlbench.data.adapters import ADAPTERS, read_index
from mtlbench.data.check import check, errors
from mtlbench.data.index import write_index
from mtlbench.data.phantoms.writers import ddsm as ddsm_writer
from mtlbench.data.phantoms.writers import write as write_phantoms
from mtlbench.errors import StudyError


def folder_example(root: Path) -> DataConfig:
    rng = np.random.default_rng(0)
    lines = ["image_id,patient_id,image,mask"]
    for number in range(5):
        mask = np.zeros((24, 16), dtype=np.uint8)
        mask[5:9, 4:12] = number
        Image.fromarray(rng.integers(0, 256, (24, 16), dtype=np.uint8)).save(root / f"{number}.png")
        Image.fromarray(mask).save(root / f"{number}_mask.png")
        lines.append(f"{number},{number // 2},{number}.png,{number}_mask.png")
    (root / "manifest.csv").write_text("\n".join(lines))
    return DataConfig(size=(24, 16))


def mias_example(root: Path) -> DataConfig:
    rows = ["mdb001 G CIRC B 30 30 9", "mdb002 F NORM ", "mdb003 D CALC M *NOTE 3*"]
    (root / "Info.txt").write_text("\n".join(rows))
    rng = np.random.default_rng(0)
    for row in rows:
        Image.fromarray(rng.integers(0, 256, (64, 64), dtype=np.uint8)).save(
            root / f"{row[:6]}.pgm"
        )
    return DataConfig(size=(64, 64))


def phantom_example(root: Path) -> DataConfig:
    return DataConfig(size=(96, 72), patients=4)


def ddsm_example(root: Path) -> DataConfig:
    config = DataConfig(size=(96, 72), patients=4, phantom_seed=3)
    ddsm_writer.write(root, config)
    return config


def cbis_ddsm_example(root: Path) -> DataConfig:
    config = DataConfig(size=(96, 72), patients=10, phantom_seed=2)
    write_phantoms(root, "cbis-ddsm", config)
    return config


def inbreast_example(root: Path) -> DataConfig:
    config = DataConfig(size=(96, 72), patients=4, phantom_seed=3)
    write_phantoms(root, "inbreast", config)
    return config


def vindr_example(root: Path) -> DataConfig:
    config = DataConfig(size=(96, 72), patients=4, phantom_seed=3)
    write_phantoms(root, "vindr", config)
    return config


EXAMPLES = {
    "cbis-ddsm": cbis_ddsm_example,
    "ddsm": ddsm_example,
    "folder": folder_example,
    "inbreast": inbreast_example,
    "mias": mias_example,
    "phantom": phantom_example,
    "vindr": vindr_example,
}


@pytest.fixture(params=sorted(ADAPTERS))
def index(request, tmp_path):
    config = EXAMPLES[request.param](tmp_path)
    return read_index(request.param, tmp_path, config)


def test_an_example_has_no_errors(index):
    assert index.mammograms
    assert errors(check(index, DataConfig()).findings) == []


def test_ids_are_unique_and_complete(index):
    ids = [mammogram.image_id for mammogram in index.mammograms]
    assert len(set(ids)) == len(ids)
    assert all(mammogram.image_id and mammogram.patient_id for mammogram in index.mammograms)


def test_sizes_agree_with_pixels(index):
    for mammogram in index.mammograms:
        pixels = mammogram.pixels()
        assert pixels.shape == (mammogram.height, mammogram.width)
        assert pixels.dtype in (np.uint8, np.uint16)
        np.testing.assert_array_equal(mammogram.pixels(), pixels)


def test_outlines_rasterise_inside_the_image(index):
    located = 0
    for mammogram in index.mammograms:
        for lesion in mammogram.lesions:
            if lesion.outline is not None:
                mask = lesion.outline.rasterise(mammogram.height, mammogram.width).whole(
                    mammogram.height, mammogram.width
                )
                assert mask.shape == (mammogram.height, mammogram.width)
                assert mask.dtype == bool
                assert mask.any()
                located += 1
            else:
                assert not mammogram.has_mask
    assert located


def test_label_agrees_with_lesions(index):
    for mammogram in index.mammograms:
        if any(lesion.pathology == "malignant" for lesion in mammogram.lesions):
            assert mammogram.label == 1
        assert mammogram.label_source or mammogram.label is None


def test_reading_again_gives_the_same_and_pickles(index, tmp_path):
    copies = pickle.loads(pickle.dumps(index.mammograms))
    assert copies == index.mammograms
    np.testing.assert_array_equal(copies[0].pixels(), index.mammograms[0].pixels())
    write_index(index, tmp_path / "one")
    write_index(index._replace(mammograms=copies), tmp_path / "two")
    for name in ("cases.csv", "lesions.csv"):
        one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        assert one == two


def test_unknown_name():
    with pytest.raises(StudyError, match=r"dataset must be one of .*'mias'.* but got 'maas'"):
        read_index("maas", Path(), DataConfig())
