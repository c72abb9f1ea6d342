from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from mtlbench.config import IGNORED, ModelConfig
from mtlbench.models.network import build_model
from mtlbench.training import outputs
from mtlbench.training.evaluate import evaluate
from mtlbench.training.losses import LOSSES
from mtlbench.training.outputs import _panel, panel_cases, panels
from mtlbench.training.tasks import Tasks

BOTH = Tasks(0.5, 0.5, LOSSES["cross-entropy"], torch.ones(5))


def fake_cohort(area, label, names, has_mask=None):
    """What `panel_cases` reads of a cohort, all of it test cases."""
    cases = pd.DataFrame({"image_id": names, "label": label})
    cases["has_mask"] = True if has_mask is None else has_mask
    split = {"test": np.arange(len(area))}
    return SimpleNamespace(cases=cases, split=split, lesion_pixels=lambda case: area[case])


def test_all_lesions_are_kept_in_the_order_of_area_where_they_are_few():
    cohort = fake_cohort([0, 30, 10, 0, 20, 10, 0], [0, 1, 1, 0, 0, 0, 0], [*"gfedcba"])
    # normal: g, d, a without a lesion, by name a d g; lesions of 10: b before e
    assert cohort.cases["image_id"][panel_cases(cohort)].tolist() == [*"dbecf"]


def test_many_lesions_are_evenly_spaced_by_area():
    area = np.random.default_rng(0).permutation(np.arange(1, 94)).tolist()
    cohort = fake_cohort(area, [1] * 93, [f"i{k}" for k in range(93)])
    kept = [area[case] for case in panel_cases(cohort)]
    assert kept == [1 + 4 * k for k in range(24)]


def test_no_normal_case_is_one_with_cancer_or_without_a_mask():
    cohort = fake_cohort([0, 0, 0, 9], [1, 0, 0, 1], [*"abcd"], [True, False, True, True])
    assert panel_cases(cohort).tolist() == [2, 3]
    assert panel_cases(fake_cohort([0], [1], ["a"])).tolist() == []


def test_panels_are_the_images_and_what_the_model_says(cohort, prepared):
    model = build_model(ModelConfig(backbone="small", output_stride=8), 0)
    arrays = panels(model, cohort, BOTH)
    case_P = panel_cases(cohort)
    top = np.iinfo(prepared.images.dtype).max
    np.testing.assert_allclose(arrays["images"], prepared.images[case_P] * (255 / top), atol=0.6)
    np.testing.assert_array_equal(arrays["truth"], prepared.masks[case_P])
    result = evaluate(model, cohort, case_P, BOTH, batch_size=1)
    for k in range(5):
        inside_PHW = (arrays["pred"] == k) & (arrays["truth"] != IGNORED)
        assert inside_PHW.sum(axis=(1, 2)).tolist() == result.counts[1][:, k].tolist()
    np.testing.assert_array_equal(arrays["score"], result.score_N)
    assert {arrays[key].dtype for key in ("images", "truth", "pred")} == {np.dtype(np.uint8)}


def test_without_test_cases_panels_are_empty(cohort, monkeypatch):
    monkeypatch.setattr(outputs, "panel_cases", lambda _: np.array([], dtype=np.int64))
    model = build_model(ModelConfig(backbone="small", output_stride=8), 0)
    arrays = panels(model, cohort, BOTH)
    assert "pred" not in arrays
    assert {len(values) for values in arrays.values()} == {0}


def test_large_images_shrink_to_512_by_area_and_masks_to_the_nearest():
    image = torch.zeros(1, 1, 1024, 768)
    image[..., ::2] = 200  # every second column: its area average is 100
    mask = torch.zeros(1, 1, 1024, 768, dtype=torch.uint8)
    mask[..., 256:512, :] = IGNORED
    small = _panel(image, "area")
    assert small.shape == (512, 384)
    assert (small == 100).all()
    shrunk = _panel(mask, "nearest-exact")
    assert (np.flatnonzero(shrunk[:, 0]) == np.arange(128, 256)).all()
    assert set(np.unique(shrunk)) == {0, IGNORED}


@pytest.mark.parametrize("size", [(1152, 832), (2048, 300)])
def test_a_panel_fits_its_side_and_keeps_its_shape(size):
    height, width = _panel(torch.zeros(1, 1, *size), "area").shape
    assert max(height, width) == 512
    assert width / height == pytest.approx(size[1] / size[0], rel=0.01)
