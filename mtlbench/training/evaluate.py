"""What a model says of some cases: scores, pixel counts, losses.

Every rank of a run evaluates all cases by itself: nothing is exchanged, so nobody waits for another
or needs the other's numbers; only the first rank's are written and decided upon.

N = cases, B = batch, K = classes, H W = image size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtlbench import metrics
from mtlbench.config import CLASSES
from mtlbench.data.resident import Batch, Cases, Cohort
from mtlbench.models.network import JointNet
from mtlbench.training.compiling import kernels_of
from mtlbench.training.losses import classification_loss
from mtlbench.training.tail import ROWS, one_hot, upsampled
from mtlbench.training.tasks import Tasks

K = len(CLASSES)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Per case: `score_N` (NaN without classification) and pixel counts NK (None without masks).

    Counts of a case without a mask are zeros and `has_mask_N` is False.
    """

    case_N: Cases
    label_N: NDArray[np.float32]
    score_N: NDArray[np.float64]
    has_mask_N: NDArray[np.bool_]
    counts: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]] | None
    loss_cls: float
    loss_seg: float

    def summary(self) -> dict[str, float | None]:
        """The metrics that selection and history read; None where they are not defined."""
        labelled_N = ~np.isnan(self.label_N)
        values = {
            "auc": metrics.auc(self.label_N[labelled_N].astype(int), self.score_N[labelled_N])
            if not np.isnan(self.score_N).any()
            else float("nan")
        }
        counts = None if self.counts is None else tuple(c[self.has_mask_N] for c in self.counts)
        for name in ("dice", "dice_lesions", "dice_any"):
            values[name] = float("nan") if counts is None else getattr(metrics, name)(*counts)
        return {name: None if np.isnan(value) else value for name, value in values.items()}


class Segmentation(NamedTuple):
    """What a model says of a batch's pixels: logits, and the class of each pixel (uint8)."""

    logit_BKhw: Tensor
    class_BHW: Tensor


@torch.inference_mode()
def evaluate(
    model: JointNet,
    cohort: Cohort,
    case_N: Cases,
    tasks: Tasks,
    batch_size: int,
    see: Callable[[Batch, Segmentation | None], None] = lambda *_: None,
) -> Evaluation:
    """Run the model over the given cases in evaluation mode, with the heads of `tasks`.

    `see` is shown each batch with its segmentation (None without that task), for what is to be
    kept of single cases.
    """
    model.eval()
    scores, cls_losses, confusions, seg_losses = [], [], [], []
    for batch in map(tasks.pooled, cohort.eval_batches(case_N, batch_size)):
        cls_B, seg_BKhw = tasks.forward(model, batch)
        if cls_B is not None:
            scores.append(cls_B.float().sigmoid())
            cls_losses.append(classification_loss(cls_B, batch))
        segmentation = None
        if seg_BKhw is not None:
            class_BHW = predict_classes(seg_BKhw, *batch.mask_BHW.shape[-2:])
            segmentation = Segmentation(seg_BKhw, class_BHW)
            confusions.append(count_pixels(class_BHW, batch))
            seg_losses.append(tasks.segmentation(seg_BKhw, batch, tasks.class_weight_K))
        see(batch, segmentation)
    label_N = np.array(cohort.cases["label"].to_numpy(dtype=np.float32, na_value=np.nan))[case_N]
    counts = _counts(torch.cat(confusions).cpu().numpy()) if confusions else None
    weight_K = tasks.class_weight_K.cpu().numpy()
    return Evaluation(
        case_N=case_N,
        label_N=label_N,
        score_N=torch.cat(scores).double().cpu().numpy()
        if scores
        else np.full(len(case_N), np.nan),
        has_mask_N=cohort.cases["has_mask"].to_numpy(dtype=bool)[case_N],
        counts=counts,
        loss_cls=_mean(cls_losses, (~np.isnan(label_N)).sum()),
        loss_seg=_mean(seg_losses, 0.0 if counts is None else counts[0].sum(axis=0) @ weight_K),
    )


def predict_classes(seg_BKhw: Tensor, height: int, width: int) -> Tensor:
    """The class of each pixel, uint8 BHW: arg max of the logits upsampled to the input's grid.

    Where two logits are within rounding of each other, it may be another than that of
    `F.interpolate` and `argmax`.
    """
    bands = upsampled(seg_BKhw, (height, width))
    return torch.cat([most_likely(logit_BKRW) for _, logit_BKRW in bands], dim=1)


def most_likely(logit_BKHW: Tensor) -> Tensor:
    """The class of the largest logit, the first of several, uint8 BHW; as `argmax`, but faster."""
    if kernels := kernels_of(logit_BKHW.device):
        class_BHW: Tensor = kernels.most_likely(logit_BKHW)
        return class_BHW
    classes = logit_BKHW.shape[1]
    below_K11 = torch.arange(classes - 1, -1, -1, device=logit_BKHW.device)[:, None, None]
    largest_BKHW = (logit_BKHW - logit_BKHW.amax(dim=1, keepdim=True)).eq_(0)
    return (classes - 1 - largest_BKHW.mul_(below_K11).amax(dim=1)).to(torch.uint8)


def count_pixels(class_BHW: Tensor, batch: Batch) -> Tensor:
    """Pixels by case, true class and predicted class, BKK; ignored and mask-less ones left out.

    On a CPU counted as float32 products of ones, exact below 2^24 pixels of a band.
    """
    if kernels := kernels_of(class_BHW.device):
        joint_BKK: Tensor = kernels.joint_counts(batch.mask_BHW, class_BHW, K)
        return joint_BKK * batch.has_mask_B[:, None, None]
    pixels_BKK = torch.zeros(len(class_BHW), K, K, dtype=torch.int64, device=class_BHW.device)
    bands = (torch.split(map_BHW, ROWS, dim=1) for map_BHW in (batch.mask_BHW, class_BHW))
    for true_BRW, pred_BRW in zip(*bands, strict=True):
        true_BKRW, pred_BKRW = (one_hot(map_BRW, K).float() for map_BRW in (true_BRW, pred_BRW))
        pixels_BKK += torch.einsum("btrw,bprw->btp", true_BKRW, pred_BKRW).long()
    return pixels_BKK * batch.has_mask_B[:, None, None]


def _counts(
    confusion_NKK: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    return (
        confusion_NKK.sum(axis=2),
        confusion_NKK.sum(axis=1),
        np.diagonal(confusion_NKK, axis1=1, axis2=2).copy(),
    )


def _mean(sums: list[Tensor], count: float) -> float:
    """Of losses, from their sums over the batches; 0 where nothing counts."""
    return torch.stack(sums).double().sum().item() / count if sums and count else 0.0
