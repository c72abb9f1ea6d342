"""Batches on the device: prepared integers are gathered, standardised and augmented there.

On a CPU the memory map itself is the resident copy: the page cache shares it between workers. On
a GPU the arrays are copied there where they fit, and streamed through pinned memory where not.
Both give the same batches, to the bit. B = batch, N = cases, H W = image size.
"""

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtlbench.config import CLASSES, IGNORED, AugmentConfig
from mtlbench.data.augment import augment
from mtlbench.data.prepared import Prepared

Cases = NDArray[np.int64]
RESIDENT_FRACTION = 0.5
"""Share of the free device memory that the data may take; the rest is the network's."""
STANDARDISE_CASES = 256
"""Training images from which mean and SD are taken, evenly spaced."""


@dataclass(frozen=True, slots=True)
class Batch:
    """`image` is standardised float32, `mask` uint8 (0..4; 255 ignored), `label` float32."""

    image_B1HW: Tensor
    mask_BHW: Tensor
    label_B: Tensor
    has_label_B: Tensor
    has_mask_B: Tensor
    case_B: Cases


class Gather(Protocol):
    """Yields integer images and masks of each list of cases, on the device, in order."""

    def __call__(self, batches: list[Cases]) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B1HW, uint8 or int16 bits) and masks (BHW, uint8)."""
        ...


class ResidentGather:
    """Everything lies on the device; a batch is one indexing."""

    def __init__(self, prepared: Prepared, device: torch.device) -> None:
        """Copy to a GPU; on a CPU take the memory map as it is."""
        self._image_NHW = _as_tensor(prepared.images).to(device)
        self._mask_NHW = _as_tensor(prepared.masks).to(device)
        self._device = device

    def __call__(self, batches: list[Cases]) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Gather`."""
        for case_B in batches:
            index_B = torch.from_numpy(case_B).to(self._device)
            yield self._image_NHW[index_B, None], self._mask_NHW[index_B]


class StreamedGather:
    """The memory map is read one batch ahead of the step, through pinned memory on CUDA."""

    def __init__(self, prepared: Prepared, device: torch.device) -> None:
        """Nothing is read yet."""
        self._image_NHW = _as_tensor(prepared.images)
        self._mask_NHW = _as_tensor(prepared.masks)
        self._device = device

    def __call__(self, batches: list[Cases]) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Gather`."""
        with ThreadPoolExecutor(max_workers=1) as reader:
            ahead = [reader.submit(self._read, case_B) for case_B in batches[:1]]
            for case_B in batches[1:]:
                ahead.append(reader.submit(self._read, case_B))
                yield self._send(*ahead.pop(0).result())
            for last in ahead:
                yield self._send(*last.result())

    def _read(self, case_B: Cases) -> tuple[Tensor, Tensor]:
        index_B = torch.from_numpy(case_B)
        image_B1HW, mask_BHW = self._image_NHW[index_B, None], self._mask_NHW[index_B]
        if self._device.type == "cuda":
            return image_B1HW.pin_memory(), mask_BHW.pin_memory()
        return image_B1HW, mask_BHW

    def _send(self, image_B1HW: Tensor, mask_BHW: Tensor) -> tuple[Tensor, Tensor]:
        return (
            image_B1HW.to(self._device, non_blocking=True),
            mask_BHW.to(self._device, non_blocking=True),
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
    ) -> None:
        """`split_N` holds `train`, `val` or `test` for each row of the prepared arrays.

        `on_batch` is called whenever a batch is asked for: a sign of life. `part` (i, n): of each
        training batch, the i-th of n parts whose sizes differ by one at most.
        """
        self._on_batch = on_batch
        self._part = part
        self.cases = prepared.cases
        self.device = device
        self.split = {
            name: np.flatnonzero(split_N.to_numpy() == name) for name in ("train", "val", "test")
        }
        self._gather = choose_gather(prepared, device)
        label_N = prepared.cases["label"].to_numpy(dtype=np.float32, na_value=np.nan)
        self._label_N = torch.from_numpy(np.nan_to_num(label_N)).to(device)
        self._has_label_N = torch.from_numpy(~np.isnan(label_N)).to(device)
        has_mask_N = prepared.cases["has_mask"].to_numpy(dtype=bool)
        self._has_mask_N = torch.from_numpy(has_mask_N).to(device)
        self._top = float(np.iinfo(prepared.images.dtype).max)
        self.mean, self.sd = _moments(prepared.images, self.split["train"])
        self._masks = prepared.masks
        self._masked = has_mask_N

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
        for batch in self._batches(batches):
            image_B1HW, mask_BHW = augment(
                batch.image_B1HW, batch.mask_BHW, batch.case_B, config, seed, epoch
            )
            yield Batch(
                image_B1HW,
                mask_BHW,
                batch.label_B,
                batch.has_label_B,
                batch.has_mask_B,
                batch.case_B,
            )

    def eval_batches(self, case_N: Cases, batch_size: int) -> Iterator[Batch]:
        """All the given cases, in order, as they are."""
        starts = range(0, len(case_N), batch_size)
        return self._batches([case_N[start : start + batch_size] for start in starts])

    def train_pixels(self) -> NDArray[np.int64]:
        """Pixels of each class in each training case that has a mask, N x K."""
        cases = [case for case in self.split["train"] if self._masked[case]]
        k = len(CLASSES)
        counts = [np.bincount(self._masks[case].ravel(), minlength=k)[:k] for case in cases]
        return np.array(counts, dtype=np.int64).reshape(-1, k)

    def lesion_pixels(self, case: int) -> int:
        """Pixels of any lesion class in a case's mask; ignored ones do not count."""
        mask_HW = self._masks[case]
        return int(((mask_HW > 0) & (mask_HW != IGNORED)).sum())

    def _batches(self, batches: list[Cases]) -> Iterator[Batch]:
        for case_B, (image_B1HW, mask_BHW) in zip(batches, self._gather(batches), strict=True):
            self._on_batch()
            index_B = torch.from_numpy(case_B).to(self.device)
            yield Batch(
                (_to_float(image_B1HW) / self._top - self.mean) / self.sd,
                mask_BHW,
                self._label_N[index_B],
                self._has_label_N[index_B],
                self._has_mask_N[index_B],
                case_B,
            )


def choose_gather(prepared: Prepared, device: torch.device) -> Gather:
    """Resident where the arrays take at most half of the free device memory."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if prepared.images.nbytes + prepared.masks.nbytes > RESIDENT_FRACTION * free:
            return StreamedGather(prepared, device)
    return ResidentGather(prepared, device)


def _as_tensor(array: NDArray[np.uint8] | NDArray[np.uint16]) -> Tensor:
    """The same memory; 16 bits as int16, since torch gathers no uint16."""
    with warnings.catch_warnings():  # torch fears writes to a read-only map; nothing here writes
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array.view(np.int16) if array.dtype == np.uint16 else array)


def _to_float(image_B1HW: Tensor) -> Tensor:
    if image_B1HW.dtype == torch.int16:
        return (image_B1HW.to(torch.int32) & 0xFFFF).float()
    return image_B1HW.float()


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
