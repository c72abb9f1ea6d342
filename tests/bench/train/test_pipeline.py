import numpy as np
import pytest
import torch

from mtlbench.bench.train.gather import png_files
from mtlbench.bench.train.pipeline import Augmented, pipeline_rows
from mtlbench.bench.train.setting import Setting


@pytest.fixture
def cases(prepared, cohort):
    pytest.importorskip("cv2")
    label_N = torch.arange(float(len(prepared.images)))
    return Augmented(png_files(prepared), label_N, cohort.mean, cohort.sd)


def draws(monkeypatch, *numbers):
    monkeypatch.setattr(torch, "rand", lambda count: (torch.tensor(numbers) + 1) / 2)


def test_without_a_transform_it_is_the_cohorts_batch(monkeypatch, prepared, cohort, cases):
    draws(monkeypatch, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    batches = cohort.eval_batches(np.array([3]), 1)
    batch = next(batches)
    image_1HW, mask_HW, label = cases[3]
    torch.testing.assert_close(image_1HW, batch.image_B1HW[0], rtol=1e-4, atol=1e-4)
    assert torch.equal(mask_HW, batch.mask_BHW[0])
    assert label == 3


def test_a_flip_and_a_shift_move_image_and_mask_alike(monkeypatch, prepared, cases):
    width = prepared.masks.shape[2]
    index = next(index for index, mask_HW in enumerate(prepared.masks) if mask_HW.any())
    draws(monkeypatch, 0.0, 0.0, 1 / (0.05 * width), 0.0, -1.0, 0.0)  # a pixel to the right
    _, mask_HW, _ = cases[index]
    expected_HW = np.roll(prepared.masks[index][::-1], 1, axis=1)
    assert np.array_equal(mask_HW.numpy()[:, 1:], expected_HW[:, 1:])


def test_ours_and_lightnings_speed_are_compared(setting, prepared, cohort, monkeypatch):
    for package in ("cv2", "lightning"):
        pytest.importorskip(package)
    monkeypatch.setattr(Setting, "rounds", 1)
    (row,) = pipeline_rows(setting, prepared, cohort)
    assert row.value > 0
    assert row.bar is None
