"""The tasks of a stage: which heads are computed, their losses, and Eq. 1.

B = batch, K = classes, h w = feature map size.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mtlbench.data.resident import Batch
from mtlbench.training.losses import (
    SegmentationLoss,
    classification_count,
    classification_loss,
    pixel_weight,
)
from mtlbench.training.ranks import ALONE, Ranks
from mtlbench.training.tail import squares


class Counts(NamedTuple):
    """What the two sums of losses of a whole batch are divided by; positive."""

    cls: Tensor
    seg: Tensor


@dataclass(frozen=True, slots=True)
class Tasks:
    """Weights of the two tasks (0: not computed), and how segmentation is scored."""

    cls_weight: float
    seg_weight: float
    segmentation: SegmentationLoss
    class_weight_K: Tensor
    target_stride: int = 1

    def pooled(self, batch: Batch) -> Batch:
        """With the squares that a target stride above 1 compares segmentation with.

        Made once a step: both the count and the loss of its batch follow from them.
        """
        if self.target_stride == 1 or not self.seg_weight:
            return batch
        return replace(
            batch, squares=squares(batch.mask_BHW, len(self.class_weight_K), self.target_stride)
        )

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        """Logits of the tasks with a weight: cancer (B) and classes (BKhw); bf16 on CUDA."""
        device = batch.image_B1HW.device.type
        image_B1HW = batch.image_B1HW
        if device == "cuda":
            image_B1HW = image_B1HW.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            out: tuple[Tensor | None, Tensor | None] = model(
                image_B1HW, classify=self.cls_weight > 0, segment=self.seg_weight > 0
            )
        return out

    def counts(self, batch: Batch, ranks: Ranks = ALONE) -> Counts:
        """Labelled cases and pixel weights of a whole batch, over all ranks, per rank.

        A mean over the ranks, which is what DistributedDataParallel makes of gradients, is then a
        sum over the batch. Without any annotation the loss is 0, whatever it is divided by. A task
        of weight 0 is not counted.
        """
        one = torch.ones((), device=batch.image_B1HW.device)
        own_2 = torch.stack(
            [
                classification_count(batch) if self.cls_weight > 0 else one,
                pixel_weight(batch, self.class_weight_K) if self.seg_weight > 0 else one,
            ]
        )
        whole_2 = ranks.total(own_2) / ranks.count
        return Counts(*whole_2.clamp(min=torch.finfo(torch.float32).tiny))

    def losses(
        self, model: nn.Module, batch: Batch, counts: Counts
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Total (Eq. 1), L_cls and L_seg: a part's share of those of the batch with `counts`.

        An uncomputed one is 0 and without gradient.
        """
        cls_B, seg_BKhw = self.forward(model, batch)
        zero = torch.zeros((), device=batch.image_B1HW.device)
        total, loss_cls, loss_seg = zero, zero, zero
        if cls_B is not None:
            loss_cls = classification_loss(cls_B, batch) / counts.cls
            total = total + self.cls_weight * loss_cls
        if seg_BKhw is not None:
            loss_seg = self.segmentation(seg_BKhw, batch, self.class_weight_K) / counts.seg
            total = total + self.seg_weight * loss_seg
        return total, loss_cls, loss_seg
