"""The training loop, a bare one and Lightning's, on the same network, loss tail and optimiser.

Each does the steps of one epoch and returns what a step adds to the cohort's gauge.
"""

import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch

from mtlbench.bench.train.setting import Metered, Setting
from mtlbench.config import AugmentConfig
from mtlbench.data.resident import Batch
from mtlbench.training.loop import train
from mtlbench.training.strategies import Stage

Loop = Callable[[Setting, Metered], float]


def our_loop(setting: Setting, cohort: Metered, mode: str = "off") -> float:
    """`train()`; `mode` is one of `torch.compile`."""
    stage = Stage("joint", 0.5, 0.5, epochs=1, steps=None)
    train(
        setting.model(), cohort, stage, setting.tasks(), setting.optim(), AugmentConfig(), 0,
        lambda _: None, mode=mode,
    )  # fmt: skip
    return cohort.per_step


def bare_loop(setting: Setting, cohort: Metered) -> float:
    """What one would write by hand."""
    model, tasks = setting.model(), setting.tasks()
    optimizer = setting.optimizer(model)
    for batch in cohort:
        optimizer.zero_grad(set_to_none=True)
        loss, _, _ = tasks.losses(model, batch, tasks.counts(batch))
        torch.autograd.backward(loss)
        optimizer.step()
    return cohort.per_step


def lightning_loop(setting: Setting, cohort: Metered) -> float:
    """Lightning's trainer with everything off that takes time."""
    import lightning

    tasks = setting.tasks()

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = setting.model()

        def transfer_batch_to_device(self, batch: Batch, device: object, index: int) -> Batch:
            return batch  # it is there, and frozen

        def training_step(self, batch: Batch, index: int) -> torch.Tensor:
            return tasks.losses(self.net, batch, tasks.counts(batch))[0]

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return setting.optimizer(self.net)

    fit_quietly(setting.device, Module(), cohort)
    return cohort.per_step


def fit_quietly(device: torch.device, module: Any, loader: object) -> None:
    """Lightning's training over one epoch, with everything off that takes time or tells."""
    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    index = [device.index or 0] if device.type == "cuda" else 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_epochs=1, barebones=True, accelerator=device.type, devices=index
        )
        trainer.fit(module, train_dataloaders=loader)
