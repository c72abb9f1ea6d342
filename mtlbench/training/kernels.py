"""Passes over every pixel that a GPU does in one go, where torch's operations take ten.

Written in Triton, which comes with torch where there is CUDA. Each sum is of parts that lie in
memory, so that its bits repeat. B = batch, K = classes, R W = rows and width of a band, X = their
pixels, P = blocks of pixels.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024


@triton.jit
def _cross_entropy(
    logit, mask, weight, loss, X, mask_stride, K: tl.constexpr, KP: tl.constexpr,
    BLOCK: tl.constexpr, DIFFERENTIATE: tl.constexpr,
):  # fmt: skip
    block, case = tl.program_id(0), tl.program_id(1)
    x = block * BLOCK + tl.arange(0, BLOCK)
    k = tl.arange(0, KP)
    inside = (k[:, None] < K) & (x[None, :] < X)
    place = logit + case.to(tl.int64) * K * X + k[:, None] * X + x[None, :]
    value = tl.load(place, inside, other=-float("inf"))
    value = tl.where(x[None, :] < X, value, 0.0)
    top = tl.max(value, 0)
    power = tl.exp(value - top[None, :])
    total = tl.sum(power, 0)
    true = tl.load(mask + case.to(tl.int64) * mask_stride + x, x < X, other=255)
    hot = inside & (k[:, None] == true[None, :].to(tl.int32))
    weight_k = tl.load(weight + case * K + k, k < K, other=0.0)
    weighted = tl.where(hot, weight_k[:, None], 0.0)
    own = tl.sum(weighted, 0)
    true_value = tl.sum(tl.where(hot, value, 0.0), 0)
    tl.store(
        loss + case * tl.num_programs(0) + block,
        tl.sum(own * (tl.log(total) + top - true_value), 0),
    )
    if DIFFERENTIATE:
        tl.store(place, power / total[None, :] * own[None, :] - weighted, inside)


@triton.jit
def _most_likely(logit, out, X, K: tl.constexpr, KP: tl.constexpr, BLOCK: tl.constexpr):
    block, case = tl.program_id(0), tl.program_id(1)
    x = block * BLOCK + tl.arange(0, BLOCK)
    k = tl.arange(0, KP)
    inside = (k[:, None] < K) & (x[None, :] < X)
    place = logit + case.to(tl.int64) * K * X + k[:, None] * X + x[None, :]
    value = tl.load(place, inside, other=-float("inf"))
    tl.store(out + case.to(tl.int64) * X + x, tl.argmax(value, 0).to(tl.uint8), x < X)


@triton.jit
def _joint_counts(true, pred, count, X, K: tl.constexpr, BLOCK: tl.constexpr):
    block, case = tl.program_id(0), tl.program_id(1)
    x = block * BLOCK + tl.arange(0, BLOCK)
    first = case.to(tl.int64) * X + x
    true_x = tl.load(true + first, x < X, other=255).to(tl.int32)
    pred_x = tl.load(pred + first, x < X, other=255).to(tl.int32)
    pair = tl.where((true_x < K) & (pred_x < K), true_x * K + pred_x, K * K)
    place = count + (case * tl.num_programs(0) + block) * K * K
    for number in tl.static_range(K * K):
        tl.store(place + number, tl.sum((pair == number).to(tl.int32), 0))


def cross_entropy_(
    logit_BKRW: Tensor, mask_BRW: Tensor, weight_BK: Tensor, differentiate: bool
) -> Tensor:
    """Σ w·(−log p) over a band's pixels, p the softmax of float32 logits; a class ≥ K is ignored.

    With `differentiate` the gradient takes the place of the logits. The rows of a case's mask
    follow each other.
    """
    batch, classes, rows, width = logit_BKRW.shape
    pixels = rows * width
    assert logit_BKRW.is_contiguous()
    assert mask_BRW.stride()[1:] == (width, 1)
    weight_BK = weight_BK.contiguous()
    loss_BP = logit_BKRW.new_empty(batch, triton.cdiv(pixels, _BLOCK))
    _launch(
        _cross_entropy, loss_BP.shape,
        logit_BKRW, mask_BRW, weight_BK, loss_BP, pixels, mask_BRW.stride(0),
        K=classes, KP=triton.next_power_of_2(classes), DIFFERENTIATE=differentiate,
    )  # fmt: skip
    return loss_BP.sum()


def most_likely(logit_BKRW: Tensor) -> Tensor:
    """The class of the largest logit, the first of several, uint8 BRW."""
    batch, classes, rows, width = logit_BKRW.shape
    assert logit_BKRW.is_contiguous()
    class_BRW = torch.empty(batch, rows, width, dtype=torch.uint8, device=logit_BKRW.device)
    grid = (triton.cdiv(rows * width, _BLOCK), batch)
    _launch(
        _most_likely, grid[::-1], logit_BKRW, class_BRW, rows * width,
        K=classes, KP=triton.next_power_of_2(classes),
    )  # fmt: skip
    return class_BRW


def joint_counts(true_BHW: Tensor, pred_BHW: Tensor, classes: int) -> Tensor:
    """Pixels by case, true class and predicted class, BKK; those of a class ≥ K are left out."""
    batch, pixels = len(true_BHW), true_BHW[0].numel()
    shape = (batch, triton.cdiv(pixels, _BLOCK))
    count_BPKK = torch.empty(*shape, classes, classes, dtype=torch.int32, device=true_BHW.device)
    maps = (true_BHW.contiguous(), pred_BHW.contiguous())
    _launch(_joint_counts, shape, *maps, count_BPKK, pixels, K=classes)
    return count_BPKK.sum(dim=1)


def _launch(kernel: Any, shape: Any, *arguments: Any, **constants: Any) -> None:
    """A program for each case and block, on the first argument's device; B x P = `shape`."""
    batch, blocks = shape
    with torch.cuda.device_of(arguments[0]):  # type: ignore[no-untyped-call]
        kernel[blocks, batch](*arguments, BLOCK=_BLOCK, **constants)
