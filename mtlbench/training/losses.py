"""L_cls, L_seg and the class weights; each loss counts only the cases that carry its annotation.

A batch may lie on several ranks: a loss is then the rank's share of that of the whole batch.

B = batch, K = classes, H W = image size, h w = feature map size, N = training cases.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mtlbench.config import CLASSES, IGNORED, LossConfig
from mtlbench.data.resident import Batch
from mtlbench.training.ranks import ALONE, Ranks

Floats = NDArray[np.float64]
MAX_RATIO = 100.0
"""Computed class weights span at most this factor: rare classes would drown the rest."""


def classification_loss(logit_B: Tensor, batch: Batch, ranks: Ranks = ALONE) -> Tensor:
    """Binary cross-entropy, averaged over the cases that have a label; 0 where none has."""
    loss_B = F.binary_cross_entropy_with_logits(logit_B.float(), batch.label_B, reduction="none")
    return ranks.average((loss_B * batch.has_label_B).sum(), batch.has_label_B.sum(), least=1)


def weighted_cross_entropy(
    logit_BKhw: Tensor, batch: Batch, weight_K: Tensor, ranks: Ranks = ALONE
) -> Tensor:
    """Cross-entropy of the upsampled logits, Σ w·l / Σ w over pixels that count; 0 where none does.

    Pixels of cases without a mask, and ignored ones, do not count.
    """
    logit_BKHW = F.interpolate(
        logit_BKhw.float(), size=batch.mask_BHW.shape[-2:], mode="bilinear", align_corners=False
    )
    target_BHW = torch.where(batch.has_mask_B[:, None, None], batch.mask_BHW, IGNORED).long()
    loss = F.cross_entropy(logit_BKHW, target_BHW, weight_K, ignore_index=IGNORED, reduction="sum")
    counted_BHW = target_BHW != IGNORED
    total = (weight_K[target_BHW.clamp(max=len(weight_K) - 1)] * counted_BHW).sum()
    return ranks.average(loss, total, least=torch.finfo(torch.float32).tiny)


LOSSES: dict[str, Callable[[Tensor, Batch, Tensor, Ranks], Tensor]] = {
    "cross-entropy": weighted_cross_entropy,
}
"""Called with logits, batch, class weights and the ranks over which to average."""


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
