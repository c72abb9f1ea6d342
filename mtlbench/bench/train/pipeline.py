"""The whole system against Lightning: our network fed by a data loader over 16-bit PNG files.

As one would write it: files read and augmented by workers with OpenCV, full-size logits by
`interpolate`, torch's losses. B = batch, K = classes, H W = image size, h w = feature map size.
"""

import os
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

from mtlbench.bench.counters import clock
from mtlbench.bench.measure import Ratio, Row, against, ratio_row, told
from mtlbench.bench.train.gather import Array, Files, png_files
from mtlbench.bench.train.loops import fit_quietly
from mtlbench.bench.train.setting import Metered, Setting
from mtlbench.bench.train.speed import image_s
from mtlbench.config import IGNORED, AugmentConfig
from mtlbench.data.prepared import Prepared
from mtlbench.training.compiling import can_compile

BAR = 2.0
Item = tuple[Tensor, Tensor, Tensor]
"""Image 1HW (standardised), mask HW and label of a case."""


@dataclass(frozen=True, slots=True)
class Augmented(Dataset[Item]):
    """Cases read from files, each with a random flip, affine map and contrast."""

    files: Files
    label_N: Tensor
    mean: float
    sd: float

    def __len__(self) -> int:
        """Cases."""
        return len(self.files)

    def __getitem__(self, index: int) -> Item:
        """Read and augment, with the worker's own random numbers."""
        import cv2

        image_HW, mask_HW = self.files.arrays(index)
        draw_6 = 2 * torch.rand(6).numpy() - 1
        size, matrix_23 = mask_HW.shape[::-1], _affine(draw_6, *mask_HW.shape)
        edge = {"borderMode": cv2.BORDER_REPLICATE}
        image_HW = cv2.warpAffine(image_HW.astype(np.float32), matrix_23, size, **edge)
        mask_HW = cv2.warpAffine(mask_HW, matrix_23, size, flags=cv2.INTER_NEAREST, **edge)
        if draw_6[4] < 0:
            image_HW, mask_HW = cv2.flip(image_HW, 0), cv2.flip(mask_HW, 0)
        image_HW = (image_HW / 65535 - self.mean) / self.sd * (1 + 0.1 * draw_6[5])
        image_1HW = torch.from_numpy(image_HW.astype(np.float32))[None]
        return image_1HW, torch.from_numpy(mask_HW), self.label_N[index]


def _affine(draw_6: Array, height: int, width: int) -> Array:
    """Rotation, scale and shift in the ranges of our augmentation, 2 x 3."""
    import cv2

    config, middle = AugmentConfig(), (width / 2, height / 2)
    angle, zoom = float(config.rotate_deg * draw_6[0]), float(1 + config.scale * draw_6[1])
    matrix_23: Array = np.asarray(cv2.getRotationMatrix2D(middle, angle, zoom))
    matrix_23[:, 2] += config.shift * draw_6[2:4] * (width, height)
    return matrix_23


def pipeline_rows(setting: Setting, prepared: Prepared, cohort: Metered) -> list[Row]:
    """How many times as fast `train` is with the cohort, compiled where a long run would be."""
    workers = (os.cpu_count() or 1) if setting.on_gpu else 2
    mode = "reduce-overhead" if can_compile(setting.device) else "off"
    what = (
        f"images a second of train() (compile: {mode}), against Lightning with {workers} workers "
        "over PNG files"
    )
    bar = BAR if setting.on_gpu else None
    times_as_fast = partial(_times_as_fast, setting, prepared, cohort, workers, mode)
    return [ratio_row("lightning_system", what, bar, times_as_fast, "higher")]


def _times_as_fast(
    setting: Setting, prepared: Prepared, cohort: Metered, workers: int, mode: str
) -> Ratio:
    steps, warm = (100, 40) if setting.on_gpu else (6, 2)  # workers read ahead: not to be counted
    label_N = torch.from_numpy(prepared.cases["label"].to_numpy(np.float32))
    cases = Augmented(png_files(prepared), label_N, cohort.mean, cohort.sd)
    sampler = RandomSampler(cases, replacement=True, num_samples=steps * setting.batch_size)
    loader = DataLoader(
        cases, setting.batch_size, sampler=sampler, num_workers=workers, pin_memory=setting.on_gpu
    )
    theirs = partial(_lightning_s, setting, loader, warm)
    return against(theirs, partial(image_s, setting, cohort, mode), setting.rounds, told)


def _lightning_s(setting: Setting, loader: DataLoader[Item], warm: int) -> float:
    """Seconds of an image, after `warm` steps."""
    import lightning

    read = clock(setting.device)

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = setting.model()
            self.began = self.ended = 0.0

        def training_step(self, batch: Item, index: int) -> Tensor:
            with torch.autocast(setting.device.type, setting.dtype, enabled=setting.on_gpu):
                outputs = self.net(batch[0], classify=True, segment=True)
            return _loss(outputs, *batch[1:])

        def on_train_batch_end(self, outputs: object, batch: Item, index: int) -> None:
            if index + 1 == warm:
                self.began = read()

        def on_train_end(self) -> None:
            self.ended = read()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return setting.optimizer(self.net)

    module = Module()
    fit_quietly(setting.device, module, loader)
    return (module.ended - module.began) / ((len(loader) - warm) * setting.batch_size)


def _loss(outputs: tuple[Tensor, Tensor], mask_BHW: Tensor, label_B: Tensor) -> Tensor:
    cls_B, seg_BKhw = outputs
    logit_BKHW = F.interpolate(seg_BKhw.float(), size=mask_BHW.shape[-2:], mode="bilinear")
    loss_cls = F.binary_cross_entropy_with_logits(cls_B.float(), label_B)
    return (loss_cls + F.cross_entropy(logit_BKHW, mask_BHW.long(), ignore_index=IGNORED)) / 2
