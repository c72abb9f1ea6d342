"""What is trained in the bench: the network, its tasks, and cases to feed it.

N = cases, B = batch, H W = image size.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import torch
from torch import nn

from mtlbench.config import AugmentConfig, DataConfig, LossConfig, ModelConfig, OptimConfig
from mtlbench.data.prepare import prepare
from mtlbench.data.prepared import Prepared
from mtlbench.data.resident import Batch, Cohort
from mtlbench.errors import StudyError
from mtlbench.models.network import JointNet, build_model
from mtlbench.training.loop import placed
from mtlbench.training.losses import LOSSES
from mtlbench.training.provenance import device_name
from mtlbench.training.tasks import Tasks

PAPER_SIZE = (1152, 832)


@dataclass(frozen=True, slots=True)
class Setting:
    """A network on images of H x W = `size`, on a device."""

    device: torch.device
    backbone: str
    output_stride: int
    size: tuple[int, int]
    batch_size: int

    @property
    def model_config(self) -> ModelConfig:
        """As a study file would state it."""
        return ModelConfig.model_validate(
            {"backbone": self.backbone, "output_stride": self.output_stride}
        )

    @property
    def device_name(self) -> str:
        """The GPU's name, or `cpu`."""
        return device_name(self.device)

    @property
    def on_gpu(self) -> bool:
        """Where bfloat16 and channels last are used."""
        return self.device.type == "cuda"

    @property
    def rounds(self) -> int:
        """Of what is measured in turn: a GPU's own times differ by a hundredth, and it is dear."""
        return 3 if self.on_gpu else 7

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in: see `Tasks.forward`."""
        return torch.bfloat16 if self.on_gpu else torch.float32

    def model(self) -> JointNet:
        """The network in training mode, as a run has it."""
        return placed(build_model(self.model_config, 0), self.device).train()

    def tasks(self) -> Tasks:
        """Both, with equal weights."""
        loss = LOSSES[LossConfig().segmentation]
        return Tasks(0.5, 0.5, loss, torch.ones(5, device=self.device))

    def optim(self) -> OptimConfig:
        """A study's default but for the batch."""
        return OptimConfig(batch_size=self.batch_size)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """What `train` makes, for loops by hand."""
        optim = self.optim()
        return torch.optim.AdamW(
            model.parameters(), lr=optim.lr, weight_decay=optim.weight_decay, fused=True
        )

    def batch(self) -> Batch:
        """A made-up one: noise, with a square lesion of each class in turn."""
        generator = torch.Generator().manual_seed(0)
        image_B1HW = torch.randn(self.batch_size, 1, *self.size, generator=generator)
        mask_BHW = torch.zeros(self.batch_size, *self.size, dtype=torch.uint8)
        side = self.size[0] // 8
        for index in range(self.batch_size):
            mask_BHW[index, side : 2 * side, side : 2 * side] = 1 + index % 4
        yes_B = torch.ones(self.batch_size, dtype=torch.bool, device=self.device)
        return Batch(
            image_B1HW.to(self.device), mask_BHW.to(self.device), yes_B.float(), yes_B, yes_B,
            np.arange(self.batch_size),
        )  # fmt: skip

    def __str__(self) -> str:
        """For a row."""
        height, width = self.size
        precision = str(self.dtype).removeprefix("torch.")
        return (
            f"{self.backbone}, stride {self.output_stride}, {height} x {width}, "
            f"batch {self.batch_size}, {precision}"
        )


def choose_device(name: str) -> torch.device:
    """`auto` is a GPU where there is one.

    Raises:
        StudyError: torch knows no such device, or it is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = None
    with contextlib.suppress(RuntimeError):
        device = torch.device(name)
    if device is None or device.type not in ("cpu", "cuda"):
        raise StudyError(f"--device must be auto, cpu, cuda or cuda:N, but got {name!r}")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise StudyError(f"--device is {name}, but torch finds no GPU")
    return device


def stand_in(folder: Path, size: tuple[int, int], count: int) -> Prepared:
    """`count` cases of 16 bits: phantoms over and over, with the grain of a detector; N x H x W.

    What is measured does not depend on what the images show, but reading a PNG does on how they
    look.
    """
    config = DataConfig(size=size, patients=2)
    few = prepare("phantom", Path(), config, folder / "phantoms")
    pick_N = np.arange(count) % len(few.images)
    images, masks = (
        np.lib.format.open_memmap(folder / name, "w+", dtype, (count, *size))
        for name, dtype in (("images.npy", np.uint16), ("masks.npy", np.uint8))
    )
    rng, (height, width) = np.random.default_rng(0), size
    tile = rng.normal(0, 8, (2 * height, 2 * width)).astype(np.float32)
    for index, pick in enumerate(pick_N):
        top, left = rng.integers(size)
        grain_HW = tile[top : top + height, left : left + width]
        bright_HW = few.images[pick] > 12
        images[index] = np.clip(few.images[pick] * 16.0 + grain_HW * bright_HW, 0, 4095)
        masks[index] = few.masks[pick]
    cases = few.cases.iloc[pick_N].reset_index(drop=True)
    cases["image_id"] = [f"i{index:05d}" for index in range(count)]
    return Prepared(folder, {}, cases, few.lesions, images, masks)


class Metered(Cohort):
    """A cohort that reads a gauge after an epoch's first steps and after its last step but one.

    So what is read is of whole steps of a loop, with fetching their batches, and of nothing else:
    neither setting up nor the end of an epoch. (A loop that knows the number of batches does not
    ask for one more, so after the last step nothing is heard of it.)
    """

    def __init__(
        self, prepared: Prepared, device: torch.device, batch_size: int, steps: int, warm: int = 1
    ) -> None:
        """`steps` batches an epoch, `warm` (at most `steps` - 2) before the gauge is first read.

        The cases left over are for validation.
        """
        n_train = batch_size * steps
        split_N = pd.Series(["train"] * n_train + ["val"] * (len(prepared.cases) - n_train))
        super().__init__(prepared, split_N, device)
        self.read: Callable[[], float] = lambda: 0.0
        self.per_step = math.nan
        self._batch_size, self._warm = batch_size, warm
        self._ready: list[Batch] = []

    def make_ready(self) -> Self:
        """Make the first epoch's batches now, and give them in all: a loop's cost shows alone."""
        self._ready = list(self)
        return self

    def train_batches(
        self, epoch: int, seed: int, batch_size: int, config: AugmentConfig, steps: range
    ) -> Iterator[Batch]:
        """See `Cohort`; sets `per_step`, the mean of what a step adds to the gauge."""
        made = super().train_batches(epoch, seed, batch_size, config, steps)
        self.per_step, start, last = math.nan, 0.0, len(steps) - 1
        for number, batch in enumerate(self._ready or made, start=1):
            yield batch
            if number == self._warm:
                start = self.read()
            elif number == last:
                self.per_step = (self.read() - start) / (last - self._warm)

    def __len__(self) -> int:
        """Training batches of an epoch."""
        return len(self.split["train"]) // self._batch_size

    def __iter__(self) -> Iterator[Batch]:
        """Those of the first epoch."""
        return self.train_batches(0, 0, self._batch_size, AugmentConfig(), range(len(self)))
