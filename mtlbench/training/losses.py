"""L_cls, L_seg and the class weights; each loss counts only the cases that carry its annotation.

A loss is a sum over cases or pixels, divided by a count that depends on the annotations alone. So a
batch may be computed in parts, by several ranks too: divided by the whole batch's count, the sums
of its parts add up to the loss of the whole.

B = batch, K = classes, H W = image size, h w = feature map size, N = training cases.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mtlbench.config import CLASSES, LossConfig
from mtlbench.data.resident import Batch
from mtlbench.training.tail import cross_entropy, pixel_counts, square_cross_entropy

Floats = NDArray[np.float64]
SegmentationLoss = Callable[[Tensor, Batch, Tensor], Tensor]
"""Of logits BKhw, batch and class weights K: the sum Σ w·l over the pixels that count, or over the
batch's squares where it has some."""
MAX_RATIO = 100.0
"""Computed class weights span at most this factor: rare classes would drown the rest."""


def classification_loss(logit_B: Tensor, batch: Batch) -> Tensor:
    """Binary cross-entropy, summed over the cases that have a label."""
    loss_B = F.binary_cross_entropy_with_logits(logit_B.float(), batch.label_B, reduction="none")
    return (loss_B * batch.has_label_B).sum()


def classification_count(batch: Batch) -> Tensor:
    """Cases that have a label, as a float."""
    return batch.has_label_B.sum(dtype=torch.float32)


def weighted_cross_entropy(logit_BKhw: Tensor, batch: Batch, weight_K: Tensor) -> Tensor:
    """Cross-entropy of the upsampled logits, Σ w·l over pixels that count.

    Pixels of cases without a mask, and ignored ones, do not count. A square counts with its share
    of every class.
    """
    weight_BK = weight_K * batch.has_mask_B[:, None]
    if batch.squares is None:
        return cross_entropy(logit_BKhw, batch.mask_BHW, weight_BK)
    height, width = batch.mask_BHW.shape[-2:]
    return square_cross_entropy(logit_BKhw, batch.squares, weight_BK, (height, width))


def pixel_weight(batch: Batch, weight_K: Tensor) -> Tensor:
    """Σ w over the pixels that count: those of cases with a mask, but for ignored ones."""
    if batch.squares is None:
        pixels_BK = pixel_counts(batch.mask_BHW, len(weight_K))
    else:
        pixels_BK = batch.squares.pixels_BKrw.sum(dim=(2, 3))
    pixels_K = (pixels_BK * batch.has_mask_B[:, None]).sum(dim=0)
    return (pixels_K.double() * weight_K).sum().float()


LOSSES: dict[str, SegmentationLoss] = {"cross-entropy": weighted_cross_entropy}
"""By the names of `loss.segmentation`."""


def class_weights(config: LossConfig, pixels_NK: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weights of the K classes, from the training split's pixel counts unless given by hand.

    With f = a class's share of the pixels: `inverse` 1/f; `median-frequency` median(g)/g, g its
    share within the images that show it (Eigen & Fergus 2015); `effective-number`
    (1−β)/(1−β^n) of its n pixels, β = 1 − 1/(mean n of a class) (Cui et al. 2019, who leave β
    open). Scaled to a mean of 1 over the classes present; a class without a pixel gets 0.
    """
    if not isinstance(config.class_weights, str):
        return np.array(config.class_weights, dtype=np.float32)
    pixels_K = pixels_NK.sum(axis=0)
    present_K = pixels_K > 0
    if config.class_weights == "none" or not present_K.any():
        return np.ones(len(CLASSES), dtype=np.float32)
    weight_K = np.zeros(len(CLASSES))
    weight_K[present_K] = _RULES[config.class_weights](pixels_NK[:, present_K])
    floor = weight_K[present_K].max() / MAX_RATIO
    weight_K[present_K] = np.maximum(weight_K[present_K], floor)
    scaled_K: NDArray[np.float32] = (weight_K / weight_K[present_K].mean()).astype(np.float32)
    return scaled_K


def _inverse(pixels_NK: NDArray[np.int64]) -> Floats:
    weight_K: Floats = pixels_NK.sum() / pixels_NK.sum(axis=0)
    return weight_K


def _median_frequency(pixels_NK: NDArray[np.int64]) -> Floats:
    shown_NK = pixels_NK > 0
    within_K = (shown_NK * pixels_NK.sum(axis=1, keepdims=True)).sum(axis=0)
    frequency_K = pixels_NK.sum(axis=0) / within_K
    weight_K: Floats = np.median(frequency_K) / frequency_K
    return weight_K


def _effective_number(pixels_NK: NDArray[np.int64]) -> Floats:
    pixels_K = pixels_NK.sum(axis=0)
    beta = 1 - 1 / max(pixels_K.mean(), 2)
    weight_K: Floats = (1 - beta) / -np.expm1(pixels_K * np.log(beta))
    return weight_K


_RULES = {
    "inverse": _inverse,
    "median-frequency": _median_frequency,
    "effective-number": _effective_number,
}
