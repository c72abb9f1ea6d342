import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlbench.training.tail import (
    ROWS,
    Upsampling,
    cross_entropy,
    one_hot,
    square_cross_entropy,
    squares,
    upsampled,
)

K = 5
WEIGHT_K = torch.tensor([0.1, 1.0, 0.0, 0.5, 3.0], dtype=torch.float64)
"""One class counts nothing."""
SHAPES = [
    ((1, 1, 1), (1, 1)),
    ((1, 3, 2), (ROWS, 32)),
    ((2, 3, 2), (ROWS + 1, 37)),
    ((3, 5, 4), (2 * ROWS + 13, 53)),
    ((1, 13, 9), (101, 67)),
    ((2, 7, 7), (3, 5)),
]
"""Batch and size of the feature map, and of the image: one and several bands, odd, shrinking."""


def example(shape, size, seed=0):
    """Float64 logits and a mask in which pixels are ignored, a class absent and a case unmasked."""
    random = torch.Generator().manual_seed(seed)
    batch, h, w = shape
    logit_BKhw = 3 * torch.randn(batch, K, h, w, generator=random, dtype=torch.float64)
    mask_BHW = torch.randint(0, K - 1, (batch, *size), generator=random, dtype=torch.uint8)
    mask_BHW[:, size[0] // 2 :, : size[1] // 3] = 255
    weight_BK = WEIGHT_K.repeat(batch, 1)
    weight_BK[1:2] = 0
    return logit_BKhw.requires_grad_(), mask_BHW, weight_BK


def plain(logit_BKhw, mask_BHW, weight_BK):
    """The same by torch's own operations on tensors of full size, a case at a time."""
    logit_BKHW = F.interpolate(logit_BKhw, mask_BHW.shape[-2:], mode="bilinear")
    cases = zip(logit_BKHW, mask_BHW.long(), weight_BK, strict=True)
    return sum(
        F.cross_entropy(logit_KHW[None], mask_HW[None], weight_K, ignore_index=255, reduction="sum")
        for logit_KHW, mask_HW, weight_K in cases
    )


def plain_pooled(logit_BKhw, mask_BHW, weight_BK, stride):
    """The same over squares, from masks and logits of full size; edge squares hold fewer pixels."""
    size = mask_BHW.shape[-2:]
    hot_BKHW = F.one_hot(mask_BHW.long(), 256)[..., :K].movedim(-1, 1).double()
    ones_11HW = torch.ones(1, 1, *size, dtype=torch.float64)
    area = F.avg_pool2d(ones_11HW, stride, ceil_mode=True, divisor_override=1)
    share = F.avg_pool2d(hot_BKHW, stride, ceil_mode=True, divisor_override=1) / area
    logit = F.avg_pool2d(F.interpolate(logit_BKhw, size, mode="bilinear"), stride, ceil_mode=True)
    weight = weight_BK[:, :, None, None] * area
    return -(weight * share * logit.log_softmax(dim=1)).sum()


def pooled(logit_BKhw, mask_BHW, weight_BK, stride):
    """Ours, over pixels where the stride is 1."""
    if stride == 1:
        return cross_entropy(logit_BKhw, mask_BHW, weight_BK)
    return square_cross_entropy(
        logit_BKhw, squares(mask_BHW, K, stride), weight_BK, mask_BHW.shape[-2:]
    )


def gradient(loss, logit_BKhw):
    return torch.autograd.grad(loss, logit_BKhw)[0]


def relative_error(found, expected):
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-300))


@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_value_and_gradient_are_those_of_torch(shape, size):
    inputs = example(shape, size)
    found, expected = cross_entropy(*inputs), plain(*inputs)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient(found, inputs[0]), gradient(expected, inputs[0]))


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9)),
    size=st.tuples(st.integers(1, 150), st.integers(1, 40)),
    seed=st.integers(0, 99),
)
def test_any_size_goes_with_any_feature_map(shape, size, seed):
    inputs = example(shape, size, seed)
    found, expected = cross_entropy(*inputs), plain(*inputs)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient(found, inputs[0]), gradient(expected, inputs[0]))


@pytest.mark.parametrize("stride", [4, 8])
@pytest.mark.parametrize(("shape", "size"), [*SHAPES, ((1, 9, 2), (9 * ROWS + 5, 16))])
def test_pooled_targets_are_shares_of_whole_and_of_cut_squares(shape, size, stride):
    inputs = example(shape, size)
    found, expected = pooled(*inputs, stride), plain_pooled(*inputs, stride)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient(found, inputs[0]), gradient(expected, inputs[0]))


@pytest.mark.parametrize("stride", [4, 8])
def test_pooling_loses_nothing_where_logits_are_the_same_everywhere(stride):
    logit_BKhw, mask_BHW, weight_BK = example((2, 4, 3), (45, 30))
    flat_BKhw = logit_BKhw[:, :, :1, :1].expand_as(logit_BKhw)
    found = pooled(flat_BKhw, mask_BHW, weight_BK, stride)
    torch.testing.assert_close(found, plain(flat_BKhw, mask_BHW, weight_BK))


@pytest.mark.parametrize("stride", [1, 4])
def test_gradient_is_that_of_finite_differences(stride):
    logit_BKhw, mask_BHW, weight_BK = example((2, 2, 3), (9, 14))
    assert torch.autograd.gradcheck(
        lambda logit: 7 * pooled(logit, mask_BHW, weight_BK, stride), logit_BKhw
    )


def test_float32_is_as_exact_as_it_can_be():
    logit_BKhw, mask_BHW, weight_BK = example((1, 36, 26), (1152, 832))
    expected = plain(logit_BKhw, mask_BHW, weight_BK)
    single_BKhw = logit_BKhw.detach().float().requires_grad_()
    found = cross_entropy(single_BKhw, mask_BHW, weight_BK.float())
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    error = relative_error(gradient(found, single_BKhw), gradient(expected, logit_BKhw))
    assert error < 1e-6


def test_autocast_changes_nothing_and_bf16_logits_get_bf16_gradients():
    logit_BKhw, mask_BHW, weight_BK = example((2, 3, 2), (80, 50))
    half_BKhw = logit_BKhw.detach().bfloat16().requires_grad_()
    single_BKhw = half_BKhw.detach().float().requires_grad_()
    expected = cross_entropy(single_BKhw, mask_BHW, weight_BK.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = cross_entropy(half_BKhw, mask_BHW, weight_BK.float())
    assert torch.equal(found, expected)
    found_grad = gradient(found, half_BKhw)
    assert torch.equal(found_grad, gradient(expected, single_BKhw).bfloat16())


def test_the_same_bits_each_time():
    logit_BKhw, mask_BHW, weight_BK = example((3, 5, 4), (150, 53))
    first, second = (cross_entropy(logit_BKhw, mask_BHW, weight_BK) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(gradient(first, logit_BKhw), gradient(second, logit_BKhw))


def test_nothing_of_full_size_is_made_or_kept(dispatched):
    logit_BKhw, mask_BHW, weight_BK = example((2, 20, 3), (20 * ROWS, 96))
    kept = []
    with (
        torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t),
        dispatched as made,
    ):
        cross_entropy(logit_BKhw, mask_BHW, weight_BK).backward()
    assert sum(tensor.numel() for tensor in kept) == logit_BKhw.numel()
    assert made.largest <= 2 * K * ROWS * 96


def test_inference_makes_no_gradient(monkeypatch):
    inputs = example((1, 3, 2), (90, 40))
    expected = plain(*inputs)
    monkeypatch.delattr(Upsampling, "adjoint")
    with torch.no_grad():
        torch.testing.assert_close(cross_entropy(inputs[0].detach(), *inputs[1:]), expected)
    with pytest.raises(AttributeError):
        cross_entropy(*inputs)


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_the_host_waits_for_nothing(dispatched, stride):
    inputs = example((2, 3, 2), (70, 41))
    with dispatched as made:
        pooled(*inputs, stride).backward()
    assert made.waits == 0


@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_bands_are_those_of_torch(shape, size):
    logit_BKhw = example(shape, size)[0].detach().float()
    rows, bands = zip(*upsampled(logit_BKhw, size), strict=True)
    expected = F.interpolate(logit_BKhw, size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(torch.cat(bands, dim=2), expected, rtol=1e-6, atol=1e-5)
    assert [r for band in rows for r in range(band.start, band.stop)] == list(range(size[0]))


def test_a_loss_of_ones_own_is_differentiated_through_bands_after_an_evaluation():
    logit_BKhw, size = example((2, 3, 2), (77, 39))[0].detach().float(), (77, 39)
    with torch.inference_mode():
        list(upsampled(logit_BKhw, size))
    exact_BKhw = logit_BKhw.double().requires_grad_()
    logit_BKhw.requires_grad_()
    found = sum((band.softmax(dim=1)[:, 1] ** 2).sum() for _, band in upsampled(logit_BKhw, size))
    expected = (F.interpolate(exact_BKhw, size, mode="bilinear").softmax(dim=1)[:, 1] ** 2).sum()
    assert relative_error(gradient(found, logit_BKhw), gradient(expected, exact_BKhw)) < 1e-5


def test_one_hot_leaves_out_what_is_ignored():
    class_BHW = torch.tensor([[[0, 4, 255], [2, 2, 1]]], dtype=torch.uint8)
    expected = np.stack([class_BHW.numpy() == k for k in range(K)], axis=1)
    np.testing.assert_array_equal(one_hot(class_BHW, K).numpy(), expected)


@pytest.mark.parametrize("side", [4, 8])
@pytest.mark.parametrize("size", [(1, 1), (13, 9), (96, 64), (145, 31)])
def test_squares_hold_the_pixels_of_each_class(size, side):
    mask_BHW = example((2, 1, 1), size)[1]
    mask_BHW[0, :9, :9] = 3
    hot_BKHW = F.one_hot(mask_BHW.long(), 256)[..., :K].movedim(-1, 1).double()
    expected = F.avg_pool2d(hot_BKHW, side, ceil_mode=True, divisor_override=1)
    found = squares(mask_BHW, K, side)
    np.testing.assert_array_equal(found.pixels_BKrw.numpy(), expected.numpy())
    assert found.side == side
