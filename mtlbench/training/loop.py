"""The one training loop."""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mtlbench.config import AugmentConfig, OptimConfig
from mtlbench.data.resident import Batch, Cohort
from mtlbench.models.network import JointNet
from mtlbench.training.checkpoint import Checkpoints, Progress
from mtlbench.training.compiling import compiled
from mtlbench.training.evaluate import evaluate
from mtlbench.training.ranks import ALONE, Ranks
from mtlbench.training.state import EpochRow, Keeper, TrainingState
from mtlbench.training.strategies import Stage
from mtlbench.training.tasks import Tasks
from mtlbench.training.validation import epochs_apart, is_due

VALIDATION = (
    "val_loss_cls", "val_loss_seg", "val_auc", "val_dice", "val_dice_lesions", "val_dice_any",
)  # fmt: skip
"""Columns of `history.csv` that are empty where an epoch was not validated."""
HISTORY = ("stage", "epoch", "step", "lr", "loss", "loss_cls", "loss_seg", *VALIDATION)


def train(
    model: JointNet,
    cohort: Cohort,
    stage: Stage,
    tasks: Tasks,
    optim: OptimConfig,
    augment: AugmentConfig,
    seed: int,
    on_epoch: Callable[[EpochRow], None],
    checkpoints: Checkpoints | None = None,
    ranks: Ranks = ALONE,
    mode: str = "off",
) -> Progress:
    """Train one stage in place, from its newest checkpoint on; return what came of it.

    `on_epoch` gets each epoch's row of `history.csv`, also those of epochs before the checkpoint.
    `ranks` do the same steps at the same time, each with its part of a batch. `mode` is one of
    `torch.compile`, or `off`.

    Raises:
        DivergedError: the loss or the weights are no longer finite.
        Stopped: a signal came; a checkpoint is written.
    """
    per_epoch = cohort.steps_per_epoch(optim.batch_size)
    total, epochs = stage.total_steps(per_epoch), stage.total_epochs(per_epoch)
    trained, val = per_epoch * optim.batch_size // ranks.count, len(cohort.split["val"])
    apart = epochs_apart(optim.validate_every, epochs, trained, val)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=optim.lr, weight_decay=optim.weight_decay, fused=True
    )
    net = compiled(ranks.wrap(model), mode)
    state = TrainingState(model, optimizer, Keeper(optim.select), cohort.device)
    state.resume(checkpoints)
    for row in state.rows:
        on_epoch(row)
    for epoch in range(state.step // per_epoch, epochs):
        model.train()
        first, steps = state.step - epoch * per_epoch, min(per_epoch, total - epoch * per_epoch)
        left = range(first, steps)
        for batch in cohort.train_batches(epoch, seed, optim.batch_size, augment, left):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(state.step, total, optim)
            state.sums_3 += take_step(net, tasks, batch, optimizer, optim.accumulate, ranks)
            state.step += 1
            if state.step < epoch * per_epoch + steps:
                state.save_if_due(checkpoints)
        state.require_finite()
        lr = learning_rate(state.step - 1, total, optim)
        row = _row(stage, epoch, state.step, lr, state.sums_3 / steps, tasks)
        if is_due(epoch + 1, epochs, apart):
            row |= _validate(model, cohort, tasks, optim.batch_size)
        state.end_epoch(row)
        on_epoch(row)
        state.save_if_due(checkpoints)
    state.keeper.restore(model)
    return state.progress()


def take_step(
    net: nn.Module,
    tasks: Tasks,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    accumulate: int = 1,
    ranks: Ranks = ALONE,
) -> Tensor:
    """One optimisation step, in `accumulate` parts whose gradients add up to the whole batch's.

    Returns the batch's total, classification and segmentation loss (3), over all ranks.
    """
    optimizer.zero_grad(set_to_none=True)
    batch = tasks.pooled(batch)
    counts = tasks.counts(batch, ranks)
    parts = [batch] if accumulate == 1 else batch.parts(accumulate)
    shares = []
    for number, part in enumerate(parts, start=1):
        with ranks.averaging(net, last=number == len(parts)):
            losses = tasks.losses(net, part, counts)
            torch.autograd.backward(losses[0])
        with torch.no_grad():
            shares.append(torch.stack(losses))
    optimizer.step()
    return ranks.mean(functools.reduce(torch.add, shares))


def placed(model: JointNet, device: torch.device) -> JointNet:
    """The model on its device; on CUDA with channels last, which tensor cores work on."""
    model = model.to(device)
    return model.to(memory_format=torch.channels_last) if device.type == "cuda" else model


def learning_rate(step: int, total: int, optim: OptimConfig) -> float:
    """Linear warm-up, then half a cosine down to zero (Loshchilov & Hutter 2017)."""
    warm = optim.warmup * total
    if step < warm:
        return optim.lr * (step + 1) / (warm + 1)
    return optim.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(total - warm, 1)))


def _row(stage: Stage, epoch: int, step: int, lr: float, mean_3: Tensor, tasks: Tasks) -> EpochRow:
    loss, loss_cls, loss_seg = mean_3.tolist()
    return dict.fromkeys(HISTORY) | {
        "stage": stage.name,
        "epoch": epoch + 1,
        "step": step,
        "lr": lr,
        "loss": loss,
        "loss_cls": loss_cls if tasks.cls_weight else None,
        "loss_seg": loss_seg if tasks.seg_weight else None,
    }


def _validate(model: JointNet, cohort: Cohort, tasks: Tasks, batch_size: int) -> EpochRow:
    result = evaluate(model, cohort, cohort.split["val"], tasks, batch_size)
    return {
        "val_loss_cls": result.loss_cls if tasks.cls_weight else None,
        "val_loss_seg": result.loss_seg if tasks.seg_weight else None,
        **{f"val_{name}": value for name, value in result.summary().items()},
    }
