import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mtlbench.config import DataConfig
from mtlbench.data.adapters import phantom
from mtlbench.data.adapters.phantom import read
from mtlbench.data.mammogram import Mammogram
from mtlbench.data.outlines import Polygon
from mtlbench.errors import DataError


@pytest.fixture(scope="module")
def mammograms() -> list[Mammogram]:
    return read(Path(), DataConfig(size=(256, 192), patients=300)).mammograms


def test_four_images_a_patient(mammograms: list[Mammogram]) -> None:
    assert len(mammograms) == 1200
    assert [m.image_id for m in mammograms[:4]] == [
        "P0001_LEFT_CC", "P0001_LEFT_MLO", "P0001_RIGHT_CC", "P0001_RIGHT_MLO",
    ]  # fmt: skip
    assert set(Counter(m.patient_id for m in mammograms).values()) == {4}
    assert mammograms[0].spacing_mm == pytest.approx(0.9)
    assert {m.density for m in mammograms} == {"1", "2", "3", "4"}
    assert {m.chest_wall for m in mammograms} == {"left"}


def test_label_says_that_a_malignant_lesion_is_in_the_image(mammograms: list[Mammogram]) -> None:
    for mammogram in mammograms:
        malignant = any(lesion.pathology == "malignant" for lesion in mammogram.lesions)
        assert mammogram.label == int(malignant)
        assert mammogram.label_source == "phantom truth"
    by_patient = {
        m.patient_id: [n.label for n in mammograms if n.patient_id == m.patient_id]
        for m in mammograms[::4]
    }
    cancers = [labels for labels in by_patient.values() if any(labels)]
    assert all(labels in ([1, 1, 0, 0], [0, 0, 1, 1]) for labels in cancers)


def test_both_views_show_the_lesions_of_a_breast(mammograms: list[Mammogram]) -> None:
    for cc, mlo in zip(mammograms[::2], mammograms[1::2], strict=True):
        assert (cc.view, mlo.view) == ("CC", "MLO")
        assert cc.side == mlo.side
        seen = [[(lesion.type, lesion.pathology) for lesion in m.lesions] for m in (cc, mlo)]
        assert seen[0] == seen[1]


def test_every_lesion_covers_pixels_at_a_small_size() -> None:
    for mammogram in read(Path(), DataConfig(size=(128, 96), patients=300)).mammograms:
        for lesion in mammogram.lesions:
            assert isinstance(lesion.outline, Polygon)
            assert lesion.outline.rasterise(128, 96).whole(128, 96).any()


def test_pixels_are_reproducible_picklable_and_seeded(mammograms: list[Mammogram]) -> None:
    mammogram = mammograms[5]
    pixels = mammogram.pixels()
    assert pixels.shape == (256, 192)
    assert np.array_equal(pixels, pickle.loads(pickle.dumps(mammogram.pixels))())
    other = read(Path(), DataConfig(size=(256, 192), patients=2, phantom_seed=1)).mammograms[5]
    assert not np.array_equal(pixels, other.pixels())


def test_more_patients_leave_the_first_as_they_are(mammograms: list[Mammogram]) -> None:
    assert read(Path(), DataConfig(size=(256, 192), patients=3)).mammograms == mammograms[:12]


def test_difficulty_changes_the_lesions_not_the_patients(mammograms: list[Mammogram]) -> None:
    config = DataConfig(size=(256, 192), patients=300, difficulty="easy")
    areas: dict[str, list[float]] = {"real": [], "easy": []}
    for real, easy in zip(mammograms, read(Path(), config).mammograms, strict=True):
        assert (real.label, real.density) == (easy.label, easy.density)
        for kind, mammogram in (("real", real), ("easy", easy)):
            for lesion in mammogram.lesions:
                assert lesion.outline is not None
                areas[kind].append(lesion.outline.rasterise(256, 192).whole(256, 192).sum())
    assert np.median(areas["easy"]) > 2 * np.median(areas["real"])


def test_indexing_draws_no_images(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[object] = []
    monkeypatch.setattr(phantom, "render", lambda *given: drawn.append(given))
    mammograms = read(Path(), DataConfig(patients=2)).mammograms
    assert drawn == []
    mammograms[0].pixels()
    assert len(drawn) == 1


def test_a_size_too_narrow_for_a_breast_is_refused() -> None:
    with pytest.raises(DataError, match=r"at least 0\.7 of the height, but size is 256 x 128"):
        read(Path(), DataConfig(size=(256, 128)))
