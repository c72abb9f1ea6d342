"""Stored integers of the wanted cases, batch by batch, on the device.

On a CPU the memory map itself is the resident copy: the page cache shares it between workers. On
a GPU the arrays are copied there where they fit, with the masks packed if that is what it takes,
and streamed through pinned memory where not. All give the same batches, to the bit.
B = batch, C = chunk, N = cases, M = cases in the order of use, H W = image size, X = H·W pixels,
P = pairs of pixels.
"""

import warnings
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mtlbench.data.augment import upload
from mtlbench.data.prepared import Prepared
from mtlbench.data.stream import StreamedGather

RESIDENT_FRACTION = 0.5
"""Share of the free device memory that the data may take; the rest is the network's."""
_CHUNK = 64
"""Masks that are packed at a time."""


class Gather(Protocol):
    """Yields integer images and masks on the device, batch by batch, in order."""

    def __call__(
        self, case_M: NDArray[np.int64], sizes: list[int]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (BHW, uint8 or the bits of uint16 as int16) and masks (BHW, uint8).

        The batches are consecutive parts of `case_M`, of the given sizes.
        """
        ...


class Pickable(Protocol):
    """A tensor, or what is picked from like one."""

    def index_select(self, dim: int, index: Tensor, /) -> Tensor:
        """The rows of the given indices along the first dimension."""
        ...


class ResidentGather:
    """Everything lies on the device: a batch is picked by an index that is there, too."""

    def __init__(self, image_NHW: Tensor, mask_NHW: Pickable) -> None:
        """Take what is on the device; on a CPU that is the memory map."""
        self._image_NHW, self._mask_NHW = image_NHW, mask_NHW

    def __call__(
        self, case_M: NDArray[np.int64], sizes: list[int]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Gather`."""
        for index_B in torch.split(upload(case_M, self._image_NHW.device), sizes):
            yield self._image_NHW.index_select(0, index_B), self._mask_NHW.index_select(0, index_B)


class PackedMasks:
    """Masks with two pixels in a byte: the classes take three bits, and 255 is −1 in four."""

    def __init__(self, mask_NHW: Tensor, device: torch.device) -> None:
        """Copy to the device, and pack there."""
        n, self._size = len(mask_NHW), mask_NHW.shape[1:]
        pairs = (self._size.numel() + 1) // 2
        self._pair_NP = torch.empty((n, pairs), dtype=torch.int8, device=device)
        for start in range(0, n, _CHUNK):
            chunk = slice(start, start + _CHUNK)
            self._pair_NP[chunk] = _packed(mask_NHW[chunk].to(device), pairs)

    def index_select(self, dim: int, index_B: Tensor, /) -> Tensor:
        """Masks of the given cases, BHW, as they were; `dim` is 0."""
        pair_BP = self._pair_NP.index_select(dim, index_B)
        value_BX = torch.cat((pair_BP >> 4, (pair_BP << 4) >> 4), dim=1)  # shifts keep the sign
        return value_BX[:, : self._size.numel()].reshape(-1, *self._size).view(torch.uint8)


def choose_gather(prepared: Prepared, device: torch.device, free_bytes: int) -> tuple[Gather, str]:
    """The way that fits into half of the device's free memory, and one line that says which."""
    image_NHW, mask_NHW = _as_tensor(prepared.images), _as_tensor(prepared.masks)
    if device.type == "cpu":
        return ResidentGather(image_NHW, mask_NHW), "memory-mapped"
    whole = prepared.images.nbytes + prepared.masks.nbytes
    packed = whole - prepared.masks.nbytes // 2
    room, free = RESIDENT_FRACTION * free_bytes, f"{_gb(free_bytes)} free"
    if whole <= room:
        gather: Gather = ResidentGather(image_NHW.to(device), mask_NHW.to(device))
        return gather, f"resident on {device}: {_gb(whole)}, of {free}"
    if packed <= room:
        gather = ResidentGather(image_NHW.to(device), PackedMasks(mask_NHW, device))
        return gather, f"resident on {device}, masks packed: {_gb(packed)}, of {free}"
    gather = StreamedGather(image_NHW, mask_NHW, device)
    share = f"{RESIDENT_FRACTION:.0%} of {free}"
    return gather, f"streamed to {device}: {_gb(whole)} do not fit in {share}"


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU's memory that nobody holds; 0 on a CPU, where nothing is copied."""
    if device.type != "cuda":
        return 0
    torch.cuda.empty_cache()  # what an earlier run of this process has left
    return torch.cuda.mem_get_info(device)[0]


def _packed(mask_CHW: Tensor, pairs: int) -> Tensor:
    value_CX = mask_CHW.view(torch.int8).flatten(1)
    padded_CX = F.pad(value_CX, (0, 2 * pairs - value_CX.shape[1]))
    return (padded_CX[:, :pairs] << 4) | (padded_CX[:, pairs:] & 15)


def _as_tensor(array: NDArray[np.uint8] | NDArray[np.uint16]) -> Tensor:
    """The same memory; 16 bits as int16, since torch gathers no uint16."""
    with warnings.catch_warnings():  # torch fears writes to a read-only map; nothing here writes
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array.view(np.int16) if array.dtype == np.uint16 else array)


def _gb(size: int) -> str:
    return f"{size / 1e9:.3g} GB"
