"""The tasks of a stage: which heads are computed, their losses, and Eq. 1.

B = batch, K = classes, h w = feature map size.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mtlbench.data.resident import Batch
from mtlbench.training.losses import classification_loss
from mtlbench.training.ranks import ALONE, Ranks


@dataclass(frozen=True, slots=True)
class Tasks:
    """Weights of the two tasks (0: not computed), and how segmentation is scored."""

    cls_weight: float
    seg_weight: float
    segmentation: Callable[[Tensor, Batch, Tensor, Ranks], Tensor]
    class_weight_K: Tensor

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

    def segmentation_loss(self, seg_BKhw: Tensor, batch: Batch, ranks: Ranks = ALONE) -> Tensor:
        """L_seg of a batch."""
        return self.segmentation(seg_BKhw, batch, self.class_weight_K, ranks)

    def losses(
        self, model: nn.Module, batch: Batch, ranks: Ranks = ALONE
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Total (Eq. 1), L_cls and L_seg; an uncomputed one is 0 and without gradient."""
        cls_B, seg_BKhw = self.forward(model, batch)
        zero = torch.zeros((), device=batch.image_B1HW.device)
        loss_cls = zero if cls_B is None else classification_loss(cls_B, batch, ranks)
        loss_seg = zero if seg_BKhw is None else self.segmentation_loss(seg_BKhw, batch, ranks)
        total = zero
        if cls_B is not None:
            total = total + self.cls_weight * loss_cls
        if seg_BKhw is not None:
            total = total + self.seg_weight * loss_seg
        return total, loss_cls, loss_seg
