from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mtlbench.config import LossConfig
from mtlbench.data.resident import Batch, Squares
from mtlbench.training.losses import (
    MAX_RATIO,
    class_weights,
    classification_count,
    classification_loss,
    pixel_weight,
    weighted_cross_entropy,
)

PIXELS_NK = np.array([[900, 100, 0, 0, 0], [950, 0, 50, 0, 0], [1000, 0, 0, 0, 0]])


def batch(label, has_label, mask_BHW, has_mask):
    n = len(label)
    return Batch(
        torch.zeros(n, 1, *mask_BHW.shape[-2:]),
        mask_BHW,
        torch.tensor(label, dtype=torch.float32),
        torch.tensor(has_label),
        torch.tensor(has_mask),
        np.arange(n),
    )


@pytest.fixture
def mixed():
    mask_BHW = torch.randint(0, 5, (3, 8, 6), generator=torch.Generator().manual_seed(0)).byte()
    mask_BHW[0, :2] = 255
    return batch([1, 0, 1], [True, True, False], mask_BHW, [True, False, True])


def test_classification_counts_labelled_cases_only(mixed):
    logit_B = torch.tensor([0.3, -1.0, 5.0])
    expected = F.binary_cross_entropy_with_logits(logit_B[:2], torch.tensor([1.0, 0.0]))
    found = classification_loss(logit_B, mixed) / classification_count(mixed)
    torch.testing.assert_close(found, expected)


def test_segmentation_equals_torch_on_the_masked_cases(mixed):
    logit_BKhw = torch.randn(3, 5, 4, 3, generator=torch.Generator().manual_seed(1))
    weight_K = torch.tensor([0.1, 1.0, 2.0, 0.5, 3.0])
    keep = torch.tensor([0, 2])
    upsampled = F.interpolate(logit_BKhw[keep], size=(8, 6), mode="bilinear")
    expected = F.cross_entropy(
        upsampled, mixed.mask_BHW[keep].long(), weight_K, ignore_index=255, reduction="mean"
    )
    found = weighted_cross_entropy(logit_BKhw, mixed, weight_K) / pixel_weight(mixed, weight_K)
    torch.testing.assert_close(found, expected)


def test_without_annotations_the_losses_are_zero_and_finite():
    empty = batch([0, 0], [False, False], torch.zeros(2, 4, 4, dtype=torch.uint8), [False, False])
    logit_B = torch.ones(2, requires_grad=True)
    logit_BKhw = torch.ones(2, 5, 2, 2, requires_grad=True)
    loss = classification_loss(logit_B, empty) + weighted_cross_entropy(
        logit_BKhw, empty, torch.ones(5)
    )
    loss.backward()
    assert loss.item() == 0
    assert logit_B.grad.abs().max() == 0
    assert logit_BKhw.grad.abs().max() == 0
    assert classification_count(empty) == pixel_weight(empty, torch.ones(5)) == 0


def test_pixel_weight_counts_images_of_any_size():
    mask_BHW = torch.randint(0, 5, (2, 600, 3), generator=torch.Generator().manual_seed(2)).byte()
    mask_BHW[:, :400, 0] = 2
    mask_BHW[0, 500:, 1] = 255
    weight_K = np.array([0.1, 1.0, 2.0, 0.0, 3.0])
    pixels_K = np.bincount(mask_BHW[0].flatten().numpy(), minlength=5)[:5]
    found = pixel_weight(
        batch([0, 0], [True, True], mask_BHW, [True, False]), torch.from_numpy(weight_K).float()
    )
    assert found.item() == pytest.approx(pixels_K @ weight_K, rel=1e-6)


@pytest.mark.parametrize("side", [4, 8])
def test_squares_of_a_batch_are_what_counts_and_what_is_compared(mixed, side):
    logit_BKhw = torch.randn(3, 5, 4, 3, generator=torch.Generator().manual_seed(1))
    weight_K = torch.tensor([0.1, 1.0, 2.0, 0.5, 3.0])
    hot_BKHW = F.one_hot(mixed.mask_BHW.long(), 256)[..., :5].movedim(-1, 1).float()
    pixels_BKrw = F.avg_pool2d(hot_BKHW, side, ceil_mode=True, divisor_override=1)
    pooled = replace(mixed, squares=Squares(pixels_BKrw.long(), side))
    assert pixel_weight(pooled, weight_K) == pixel_weight(mixed, weight_K)
    full_BKHW = F.interpolate(logit_BKhw, size=(8, 6), mode="bilinear")
    log_p_BKrw = F.avg_pool2d(full_BKHW, side, ceil_mode=True).log_softmax(dim=1)
    loss_B = -(weight_K[:, None, None] * pixels_BKrw * log_p_BKrw).sum(dim=(1, 2, 3))
    found = weighted_cross_entropy(logit_BKhw, pooled, weight_K)
    torch.testing.assert_close(found, loss_B[[0, 2]].sum())


def test_inverse_frequency_by_hand():
    weight_K = class_weights(LossConfig(class_weights="inverse"), PIXELS_NK)
    raw = 3000 / np.array([2850, 100, 50])
    np.testing.assert_allclose(weight_K[:3], raw / raw.mean(), rtol=1e-6)
    assert (weight_K[3:] == 0).all()


def test_median_frequency_by_hand():
    weight_K = class_weights(LossConfig(class_weights="median-frequency"), PIXELS_NK)
    frequency = np.array([2850 / 3000, 100 / 1000, 50 / 1000])
    raw = np.median(frequency) / frequency
    np.testing.assert_allclose(weight_K[:3], raw / raw.mean(), rtol=1e-6)


def test_effective_number_by_hand():
    weight_K = class_weights(LossConfig(class_weights="effective-number"), PIXELS_NK)
    pixels = np.array([2850, 100, 50])
    beta = 1 - 1 / pixels.mean()
    raw = (1 - beta) / (1 - beta**pixels)
    np.testing.assert_allclose(weight_K[:3], raw / raw.mean(), rtol=1e-6)


def test_none_and_manual():
    assert (class_weights(LossConfig(class_weights="none"), PIXELS_NK) == 1).all()
    manual = (0.1, 1.0, 2.0, 3.0, 4.0)
    np.testing.assert_allclose(class_weights(LossConfig(class_weights=manual), PIXELS_NK), manual)


def test_weights_span_a_bounded_factor():
    pixels_NK = np.array([[10**9, 1, 0, 0, 0]])
    weight_K = class_weights(LossConfig(class_weights="inverse"), pixels_NK)
    assert weight_K[1] / weight_K[0] == pytest.approx(MAX_RATIO)
