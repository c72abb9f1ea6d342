"""Batches on the device: prepared integers are gathered, standardised and augmented there.

B = batch, N = cases, M = cases in the order of use, H W = image size, r w = rows and columns of
squares, K = classes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtlbench.config import CLASSES, IGNORED, AugmentConfig
from mtlbench.data.augment import Transform, upload
from mtlbench.data.draws import Draws, draw, still
from mtlbench.data.gather import choose_gather, free_memory
from mtlbench.data.prepared import Prepared

Cases = NDArray[np.int64]
STANDARDISE_CASES = 256
"""Training images from which mean and SD are taken, evenly spaced."""


class Squares(NamedTuple):
    """Squares of `side` pixels a side; smaller at the lower and right edge if they do not fit."""

    pixels_BKrw: Tensor
    """Those of each class, integers; ignored ones are of none."""
    side: int


@dataclass(frozen=True, slots=True)
class Batch:
    """`image` is standardised float32, `mask` uint8 (0..4; 255 ignored), `label` float32."""

    image_B1HW: Tensor
    mask_BHW: Tensor
    label_B: Tensor
    has_label_B: Tensor
    has_mask_B: Tensor
    case_B: Cases
    squares: Squares | None = None
    """What segmentation is compared with in place of the mask's pixels, if not None."""

    def parts(self, count: int) -> list["Batch"]:
        """`count` consecutive parts, as views, whose sizes differ by one at most.

        A batch of fewer cases gives a part for each of them.
        """
        n = len(self.case_B)
        rows = np.array_split(np.arange(n), min(count, n))
        return [self._cut(slice(part[0], part[-1] + 1)) for part in rows]

    def _cut(self, rows: slice) -> "Batch":
        return Batch(
            self.image_B1HW[rows],
            self.mask_BHW[rows],
            self.label_B[rows],
            self.has_label_B[rows],
            self.has_mask_B[rows],
            self.case_B[rows],
            self.squares and self.squares._replace(pixels_BKrw=self.squares.pixels_BKrw[rows]),
        )


class Cohort:
    """The cases of one run: who is in which split, and batches of them on the device."""

    def __init__(
        self,
        prepared: Prepared,
        split_N: pd.Series,
        device: torch.device,
        on_batch: Callable[[], None] = lambda: None,
        part: tuple[int, int] = (0, 1),
        sharers: int = 1,
    ) -> None:
        """`split_N` holds `train`, `val` or `test` for each row of the prepared arrays.

        `on_batch` is called whenever a batch is asked for: a sign of life. `part` (i, n): of each
        training batch, the i-th of n parts whose sizes differ by one at most. `sharers` runs divide
        the device's free memory.
        """
        self._on_batch = on_batch
        self._part = part
        self.cases = prepared.cases
        self.device = device
        self.split = {
            name: np.flatnonzero(split_N.to_numpy() == name) for name in ("train", "val", "test")
        }
        own_bytes = free_memory(device) // sharers
        self._gather, self.placement = choose_gather(prepared, device, own_bytes)
        label_N = prepared.cases["label"].to_numpy(dtype=np.float32, na_value=np.nan)
        self._label_N, self._has_label_N = np.nan_to_num(label_N), ~np.isnan(label_N)
        self._has_mask_N = prepared.cases["has_mask"].to_numpy(dtype=bool)
        self._top = float(np.iinfo(prepared.images.dtype).max)
        self.mean, self.sd = _moments(prepared.images, self.split["train"])
        self._masks = prepared.masks

    def steps_per_epoch(self, batch_size: int) -> int:
        """Whole batches only: the cases left over wait for the next epoch's order."""
        return max(1, len(self.split["train"]) // batch_size)

    def train_batches(
        self, epoch: int, seed: int, batch_size: int, config: AugmentConfig, steps: range
    ) -> Iterator[Batch]:
        """The augmented batches `steps` of an epoch, in an order set by (seed, epoch)."""
        order = np.random.default_rng([seed, epoch]).permutation(self.split["train"])
        index, parts = self._part
        batches = [
            np.array_split(order[i * batch_size : (i + 1) * batch_size], parts)[index]
            for i in steps
        ]
        case_M = np.concatenate([order[:0], *batches])
        draws = draw(config, seed, epoch, case_M, self._masks.shape[1:])
        return self._batches(case_M, [len(case_B) for case_B in batches], draws)

    def eval_batches(self, case_N: Cases, batch_size: int) -> Iterator[Batch]:
        """All the given cases, in order, as they are."""
        n = len(case_N)
        sizes = [min(batch_size, n - start) for start in range(0, n, batch_size)]
        return self._batches(case_N, sizes, still(n))

    def train_pixels(self) -> NDArray[np.int64]:
        """Pixels of each class in each training case that has a mask, N x K."""
        cases = [case for case in self.split["train"] if self._has_mask_N[case]]
        k = len(CLASSES)
        counts = [np.bincount(self._masks[case].ravel(), minlength=k)[:k] for case in cases]
        return np.array(counts, dtype=np.int64).reshape(-1, k)

    def lesion_pixels(self, case: int) -> int:
        """Pixels of any lesion class in a case's mask; ignored ones do not count."""
        mask_HW = self._masks[case]
        return int(((mask_HW > 0) & (mask_HW != IGNORED)).sum())

    def _batches(self, case_M: Cases, sizes: list[int], draws: Draws) -> Iterator[Batch]:
        """What the cases need besides images and masks is on the device before the first batch."""
        scale, shift = 1 / (self._top * self.sd), -self.mean / self.sd
        transform = Transform(draws, scale, shift, self._masks.shape[1:], self.device)
        label_M, has_label_M, has_mask_M = (
            upload(value_N[case_M], self.device)
            for value_N in (self._label_N, self._has_label_N, self._has_mask_N)
        )
        start = 0
        for image_BHW, mask_BHW in self._gather(case_M, sizes):
            self._on_batch()
            cases = slice(start, start := start + len(mask_BHW))
            image_B1HW, moved_BHW = transform(image_BHW, mask_BHW, cases)
            yield Batch(
                image_B1HW,
                moved_BHW,
                label_M[cases],
                has_label_M[cases],
                has_mask_M[cases],
                case_M[cases],
            )


def _moments(
    image_NHW: NDArray[np.uint8] | NDArray[np.uint16], train: Cases
) -> tuple[float, float]:
    """Mean and SD of the training images as fractions of full scale."""
    picks = train[np.linspace(0, len(train) - 1, min(len(train), STANDARDISE_CASES)).astype(int)]
    top = float(np.iinfo(image_NHW.dtype).max)
    sums = np.zeros(2)
    for pick in picks:
        values = image_NHW[pick].astype(np.float64) / top
        sums += values.mean(), (values**2).mean()
    mean, square = sums / len(picks)
    return float(mean), float(max(np.sqrt(square - mean**2), 1e-6))
