"""The loss tail: bilinear upsampling and weighted cross-entropy, fused, a band of rows at a time.

Logits or probabilities of full size are never held: the forward pass makes the gradient with
respect to the small logits too, band by band, and keeps that alone. Upsampling is linear and
separable, two small matrix products, and so is its adjoint; `F.interpolate` scatters in its
backward, which on CUDA is not deterministic. Products of float32 must be such, as by torch's
default precision, "highest".

B = batch, K = classes, H W = image size, h w = feature map size, R = rows of a band, s = rows of
the feature map that it is made from.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from mtlbench.config import IGNORED
from mtlbench.data.resident import Squares
from mtlbench.training.compiling import kernels_of

ROWS, CUDA_ROWS = 64, 192
"""Of pixels in a band; with a stride as many values, of more rows. A CPU's cache holds few."""
CACHED = 2**20
"""Pixels of a mask that are counted at a time, so that a CPU's cache holds them."""


class Band(NamedTuple):
    """Rows of the upsampled grid, and those of the feature map that they are made from."""

    rows: slice
    source: slice


class Upsampling:
    """`F.interpolate(..., mode="bilinear", align_corners=False)` to H x W, by bands.

    With a stride the grid is one of squares of so many pixels a side, smaller at the lower and
    right edge where they do not fit, and the values are means over a square's pixels.
    """

    def __init__(self, logit_BKhw: Tensor, size: tuple[int, int], stride: int = 1) -> None:
        """For logits of this shape, type and device."""
        self._h, self._height, self._stride = logit_BKhw.shape[-2], size[0], stride
        self._rows = CUDA_ROWS if logit_BKhw.device.type == "cuda" else ROWS
        self._down_hH, self._across_wW = (
            _matrix(n, full, stride, logit_BKhw.dtype, logit_BKhw.device)
            for n, full in zip(logit_BKhw.shape[-2:], size, strict=True)
        )

    def bands(self) -> Iterator[Band]:
        """All of them, from the top."""
        step, end = self._rows * self._stride, self._down_hH.shape[1]
        for top in range(0, end, step):
            bottom = min(top + step, end)
            last = min(bottom * self._stride, self._height) - 1
            source = slice(max(self._above(top * self._stride), 0), self._above(last) + 2)
            yield Band(slice(top, bottom), source)

    def up(self, logit_BKhw: Tensor, band: Band) -> Tensor:
        """Upsampled logits of a band, BKRW."""
        across_BKsW = logit_BKhw[:, :, band.source] @ self._across_wW
        return self._down_hH[band.source, band.rows].mT @ across_BKsW

    def adjoint(self, gradient_BKRW: Tensor, band: Band) -> Tensor:
        """What a gradient on a band's values is on its source, BKsw."""
        down_BKsW = self._down_hH[band.source, band.rows] @ gradient_BKRW
        return down_BKsW @ self._across_wW.mT

    def _above(self, row: int) -> int:
        """The last row of the feature map whose centre is not below that of a row of pixels."""
        return ((2 * row + 1) * self._h - self._height) // (2 * self._height)


@lru_cache(maxsize=8)
def _matrix(n: int, size: int, stride: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Weights of n values in linear upsampling to `size`, averaged over the stride."""
    with torch.inference_mode(False):  # training may need what was made in an evaluation
        eye_1nn = torch.eye(n, dtype=dtype, device=device)[None]
        full_1nN = F.interpolate(eye_1nn, size=size, mode="linear", align_corners=False)
        return F.avg_pool1d(full_1nN, stride, ceil_mode=True)[0]


def upsampled(logit_BKhw: Tensor, size: tuple[int, int]) -> Iterator[tuple[slice, Tensor]]:
    """Bands of the logits upsampled to H x W: their rows, and values BKRW in float32."""
    logit_BKhw = logit_BKhw.float()
    upsampling = Upsampling(logit_BKhw, size)
    for band in upsampling.bands():
        yield band.rows, upsampling.up(logit_BKhw, band)


def one_hot(class_BHW: Tensor, classes: int) -> Tensor:
    """BKHW of uint8 classes, uint8; an ignored pixel is of no class."""
    k_K11 = torch.arange(classes, dtype=torch.uint8, device=class_BHW.device)[:, None, None]
    batch, height, width = class_BHW.shape
    hot_BKHW = class_BHW.new_empty(batch, classes, height, width)  # bool would be slower on a CPU
    return torch.eq(class_BHW[:, None], k_K11, out=hot_BKHW)


def cross_entropy(logit_BKhw: Tensor, mask_BHW: Tensor, weight_BK: Tensor) -> Tensor:
    """Σ w·(−log p) over the pixels of a uint8 mask, p the softmax of the upsampled logits.

    Computed in float32 at least, whatever autocast says.
    """
    height, width = mask_BHW.shape[-2:]
    return _in_float32(logit_BKhw, mask_BHW, weight_BK, (height, width), 1)


def square_cross_entropy(
    logit_BKhw: Tensor, squares: Squares, weight_BK: Tensor, size: tuple[int, int]
) -> Tensor:
    """Σ w_k·n_k·(−log p_k) over squares of a mask of H x W, and classes.

    n_k of a square's pixels are of class k, p is the softmax of its mean logits. Float32 too.
    """
    return _in_float32(logit_BKhw, squares.pixels_BKrw, weight_BK, size, squares.side)


def _in_float32(
    logit_BKhw: Tensor, target: Tensor, weight_BK: Tensor, size: tuple[int, int], stride: int
) -> Tensor:
    logit_BKhw = logit_BKhw.to(torch.promote_types(logit_BKhw.dtype, torch.float32))
    with torch.autocast(logit_BKhw.device.type, enabled=False):
        loss: Tensor = _CrossEntropy.apply(logit_BKhw, target, weight_BK, size, stride)
    return loss


class _CrossEntropy(torch.autograd.Function):
    """The sum, and in the same pass its gradient where one is needed.

    The target is a mask BHW, or the pixels BKrw of its squares.
    """

    @staticmethod
    def forward(
        ctx: Any, logit_BKhw: Tensor, target: Tensor, weight_BK: Tensor, size: tuple[int, int],
        stride: int,
    ) -> Tensor:  # fmt: skip
        upsampling = Upsampling(logit_BKhw, size, stride)
        differentiate = ctx.needs_input_grad[0]
        gradient_BKhw = torch.zeros_like(logit_BKhw) if differentiate else None
        weight_BK, losses = weight_BK.to(logit_BKhw), []
        for band in upsampling.bands():
            loss, gradient_BKRW = _loss(
                upsampling.up(logit_BKhw, band), target[..., band.rows, :], weight_BK, differentiate
            )
            losses.append(loss)
            if gradient_BKhw is not None:
                gradient_BKhw[:, :, band.source] += upsampling.adjoint(gradient_BKRW, band)
        if gradient_BKhw is not None:
            ctx.save_for_backward(gradient_BKhw)
        return torch.stack(losses).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient_BKhw,) = ctx.saved_tensors
        return gradient * gradient_BKhw, None, None, None, None


def _loss(
    value_BKRW: Tensor, true: Tensor, weight_BK: Tensor, differentiate: bool
) -> tuple[Tensor, Tensor]:
    """Of a band, and its gradient with respect to the values, of which it takes the place."""
    kernels, is_mask = kernels_of(value_BKRW.device), true.dim() == 3
    if kernels and is_mask and value_BKRW.dtype == torch.float32:
        loss = kernels.cross_entropy_(value_BKRW, true, weight_BK, differentiate)
        return loss, value_BKRW
    pixels_BKRW = one_hot(true, weight_BK.shape[1]) if is_mask else true
    target_BKRW = pixels_BKRW * weight_BK[:, :, None, None]
    del pixels_BKRW  # nobody else holds what is deleted here: less of memory
    log_p_BKRW = value_BKRW.log_softmax(dim=1)
    del value_BKRW
    loss = -(target_BKRW * log_p_BKRW).sum()
    if not differentiate:
        return loss, log_p_BKRW
    weight_B1RW = target_BKRW.sum(dim=1, keepdim=True)
    return loss, log_p_BKRW.exp_().mul_(weight_B1RW).sub_(target_BKRW)


def squares(mask_BHW: Tensor, classes: int, side: int) -> Squares:
    """Those of `side` (4 or 8) pixels a side.

    A product with 0x01…01 adds the bytes of a word up in its highest; their sum is 64 at most.
    """
    word = {4: torch.int32, 8: torch.int64}[side]
    ones = int.from_bytes(b"\x01" * side)
    column_sums_BKrw = _column_sums(mask_BHW, classes, side, word)
    return Squares(column_sums_BKrw.mul_(ones).bitwise_right_shift_(8 * (side - 1)), side)


def pixel_counts(mask_BHW: Tensor, classes: int) -> Tensor:
    """Pixels of each class in each mask, BK."""
    if kernels := kernels_of(mask_BHW.device):
        joint_BKK: Tensor = kernels.joint_counts(mask_BHW, mask_BHW, classes)
        return joint_BKK.diagonal(dim1=1, dim2=2)
    batch, _, width = mask_BHW.shape
    count_BK = mask_BHW.new_zeros(batch, classes, dtype=torch.int64)
    bands = max(CACHED // (2 * ROWS * batch * width), 1)
    for mask_BRW in torch.split(mask_BHW, 2 * ROWS * bands, dim=1):
        words_BKrw = _column_sums(mask_BRW, classes, 2 * ROWS, torch.int64)
        count_BK += words_BKrw.view(torch.uint8).sum(dim=(2, 3))
    return count_BK


def _column_sums(mask_BRW: Tensor, classes: int, rows: int, word: torch.dtype) -> Tensor:
    """Pixels of each class in each column of `rows` pixels (255 at most), a byte each, BKrw.

    The bytes of a word are added at once; since none runs over, they are the columns side by side.
    One class after the other: a plane stays in a CPU's cache until it is added up.
    """
    batch, height, width = mask_BRW.shape
    missing = (0, -width % word.itemsize, 0, -height % rows)
    whole_BRW = F.pad(mask_BRW, missing, value=IGNORED) if any(missing) else mask_BRW
    is_k_BRW = torch.empty(whole_BRW.shape, dtype=torch.uint8, device=mask_BRW.device)
    word_BrRw = is_k_BRW.view(word).view(batch, -1, rows, whole_BRW.shape[-1] // word.itemsize)
    sum_BKrw = word_BrRw.new_empty(batch, classes, word_BrRw.shape[1], word_BrRw.shape[3])
    for k in range(classes):
        torch.eq(whole_BRW, k, out=is_k_BRW)
        torch.sum(word_BrRw, dim=2, dtype=word, out=sum_BKrw[:, k])
    return sum_BKrw
