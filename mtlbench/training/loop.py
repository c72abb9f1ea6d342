"""The one training loop."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mtlbench.config import AugmentConfig, OptimConfig
from mtlbench.data.resident import Cohort
from mtlbench.models.network import JointNet
from mtlbench.training.checkpoint import Checkpoints, Progress
from mtlbench.training.evaluate import evaluate
from mtlbench.training.ranks import ALONE, Ranks
from mtlbench.training.state import Keeper, Row, TrainingState
from mtlbench.training.strategies import Stage
from mtlbench.training.tasks import Tasks

HISTORY = (
    "stage", "epoch", "step", "lr", "loss", "loss_cls", "loss_seg", "val_loss_cls", "val_loss_seg",
    "val_auc", "val_dice", "val_dice_lesions", "val_dice_any",
)  # fmt: skip


def train(
    model: JointNet,
    cohort: Cohort,
    stage: Stage,
    tasks: Tasks,
    optim: OptimConfig,
    augment: AugmentConfig,
    seed: int,
    on_epoch: Callable[[Row], None],
    checkpoints: Checkpoints | None = None,
    ranks: Ranks = ALONE,
) -> Progress:
    """Train one stage in place, from its newest checkpoint on; return what came of it.

    `on_epoch` gets each epoch's row of `history.csv`, also those of epochs before the checkpoint.
    `ranks` do the same steps at the same time, each with its part of a batch.

    Raises:
        DivergedError: the loss or the weights are no longer finite.
        Stopped: a signal came; a checkpoint is written.
    """
    per_epoch = cohort.steps_per_epoch(optim.batch_size)
    total, epochs = stage.total_steps(per_epoch), stage.total_epochs(per_epoch)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=optim.lr, weight_decay=optim.weight_decay, fused=True
    )
    net = ranks.wrap(model)
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
            losses = tasks.losses(net, batch, ranks)
            take_step(losses[0], optimizer)
            state.sums_3 += ranks.mean(torch.stack([loss.detach() for loss in losses]))
            state.step += 1
            if state.step < epoch * per_epoch + steps:
                state.save_if_due(checkpoints)
        state.require_finite()
        lr = learning_rate(state.step - 1, total, optim)
        row = _row(stage, epoch, state.step, lr, state.sums_3 / steps, tasks)
        row |= _validate(model, cohort, tasks, optim.batch_size)
        state.end_epoch(row)
        on_epoch(row)
        state.save_if_due(checkpoints)
    state.keeper.restore(model)
    return state.progress()


def take_step(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """One optimisation step; a batch in which no task has an annotation moves nothing."""
    optimizer.zero_grad(set_to_none=True)
    if loss.requires_grad:
        torch.autograd.backward(loss)
        optimizer.step()


def learning_rate(step: int, total: int, optim: OptimConfig) -> float:
    """Linear warm-up, then half a cosine down to zero (Loshchilov & Hutter 2017)."""
    warm = optim.warmup * total
    if step < warm:
        return optim.lr * (step + 1) / (warm + 1)
    return optim.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(total - warm, 1)))


def _row(stage: Stage, epoch: int, step: int, lr: float, mean_3: Tensor, tasks: Tasks) -> Row:
    loss, loss_cls, loss_seg = mean_3.tolist()
    return {
        "stage": stage.name,
        "epoch": epoch + 1,
        "step": step,
        "lr": lr,
        "loss": loss,
        "loss_cls": loss_cls if tasks.cls_weight else None,
        "loss_seg": loss_seg if tasks.seg_weight else None,
    }


def _validate(model: JointNet, cohort: Cohort, tasks: Tasks, batch_size: int) -> Row:
    result = evaluate(model, cohort, cohort.split["val"], tasks, batch_size)
    return {
        "val_loss_cls": result.loss_cls if tasks.cls_weight else None,
        "val_loss_seg": result.loss_seg if tasks.seg_weight else None,
        **{f"val_{name}": value for name, value in result.summary().items()},
    }
