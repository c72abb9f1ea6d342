"""What a model says of some cases: scores, pixel counts, losses.

Every rank of a run evaluates all cases by itself: nothing is exchanged, so nobody waits for another
or needs the other's numbers; only the first rank's are written and decided upon.

N = cases, B = batch, K = classes, H W = image size.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mtlbench import metrics
from mtlbench.config import CLASSES, IGNORED
from mtlbench.data.resident import Batch, Cases, Cohort
from mtlbench.models.network import JointNet
from mtlbench.training.losses import classification_loss
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


@torch.inference_mode()
def evaluate(
    model: JointNet, cohort: Cohort, case_N: Cases, tasks: Tasks, batch_size: int
) -> Evaluation:
    """Run the model over the given cases in evaluation mode, with the heads of `tasks`."""
    model.eval()
    scores, confusions, losses = [], [], []
    for batch in cohort.eval_batches(case_N, batch_size):
        cls_B, seg_BKhw = tasks.forward(model, batch)
        if cls_B is not None:
            scores.append(cls_B.float().sigmoid())
        if seg_BKhw is not None:
            confusions.append(_confusion(seg_BKhw, batch))
        losses.append(_loss_sums(cls_B, seg_BKhw, batch, tasks))
    sums_4 = torch.stack(losses).sum(dim=0).tolist()
    label_N = np.array(cohort.cases["label"].to_numpy(dtype=np.float32, na_value=np.nan))[case_N]
    return Evaluation(
        case_N=case_N,
        label_N=label_N,
        score_N=torch.cat(scores).double().cpu().numpy()
        if scores
        else np.full(len(case_N), np.nan),
        has_mask_N=cohort.cases["has_mask"].to_numpy(dtype=bool)[case_N],
        counts=_counts(torch.cat(confusions).cpu().numpy()) if confusions else None,
        loss_cls=sums_4[0] / max(sums_4[1], 1.0),
        loss_seg=sums_4[2] / max(sums_4[3], 1.0),
    )


def predict_classes(seg_BKhw: Tensor, height: int, width: int) -> Tensor:
    """The class of each pixel, uint8 BHW: arg max of the logits upsampled to the input's grid."""
    logit_BKHW = F.interpolate(
        seg_BKhw.float(), size=(height, width), mode="bilinear", align_corners=False
    )
    return logit_BKHW.argmax(dim=1).to(torch.uint8)


def _confusion(seg_BKhw: Tensor, batch: Batch) -> Tensor:
    """Pixels by case, true class and predicted class, BKK; ignored and mask-less ones left out."""
    pred_BHW = predict_classes(seg_BKhw, *batch.mask_BHW.shape[-2:])
    counted_BHW = (batch.mask_BHW != IGNORED) & batch.has_mask_B[:, None, None]
    case_BHW = torch.arange(len(pred_BHW), device=pred_BHW.device)[:, None, None]
    cell_BHW = (case_BHW * K + batch.mask_BHW.long()) * K + pred_BHW.long()
    bins = torch.bincount(cell_BHW[counted_BHW], minlength=len(pred_BHW) * K * K)
    return bins.reshape(-1, K, K)


def _counts(
    confusion_NKK: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    return (
        confusion_NKK.sum(axis=2),
        confusion_NKK.sum(axis=1),
        np.diagonal(confusion_NKK, axis1=1, axis2=2).copy(),
    )


def _loss_sums(cls_B: Tensor | None, seg_BKhw: Tensor | None, batch: Batch, tasks: Tasks) -> Tensor:
    """Loss times count, and count, of each task: (cls, labelled cases, seg, masked cases)."""
    labelled, masked = batch.has_label_B.sum(), batch.has_mask_B.sum()
    zero = torch.zeros((), device=labelled.device)
    loss_cls = zero if cls_B is None else classification_loss(cls_B, batch)
    loss_seg = zero if seg_BKhw is None else tasks.segmentation_loss(seg_BKhw, batch)
    return torch.stack([loss_cls * labelled, labelled.float(), loss_seg * masked, masked.float()])
