"""Batches that are read from the memory map ahead of the step, for data that do not fit.

B = batch, N = cases, M = cases in the order of use, H W = image size.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

DEPTH = 2
"""Batches that are read ahead of the step."""


class StreamedGather:
    """A thread reads into pinned memory, and a stream of its own copies beside the step."""

    def __init__(self, image_NHW: Tensor, mask_NHW: Tensor, device: torch.device) -> None:
        """Nothing is read yet."""
        self._arrays, self._device = (image_NHW, mask_NHW), device
        self._stream = _side_stream(device)

    def __call__(
        self, case_M: NDArray[np.int64], sizes: list[int]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Gather`; what stops the reader is raised here, and closing this ends its thread."""
        most = max(sizes, default=0)
        slots = [_Slot(self._arrays, most, self._device, self._stream) for _ in range(DEPTH)]
        batches = zip(cycle(slots), torch.split(torch.from_numpy(case_M), sizes), strict=False)
        reader = ThreadPoolExecutor(max_workers=1)
        begun = ((slot, reader.submit(slot.load, index_B)) for slot, index_B in batches)
        try:
            ahead = deque(islice(begun, DEPTH))
            while ahead:
                slot, loading = ahead.popleft()
                image_BHW, mask_BHW = slot.hand_over(loading.result())
                ahead.extend(islice(begun, 1))
                yield image_BHW, mask_BHW
        finally:
            reader.shutdown(cancel_futures=True)


class _Slot:
    """Host memory for one batch, pinned on CUDA, from which it is copied to the device."""

    def __init__(
        self,
        arrays: tuple[Tensor, Tensor],
        most: int,
        device: torch.device,
        stream: torch.cuda.Stream | None,
    ) -> None:
        self._arrays, self._device, self._stream = arrays, device, stream
        pinned = stream is not None
        with torch.inference_mode(False):  # the reader, a thread outside that mode, writes here
            self._buffers = [
                torch.empty((most, *array.shape[1:]), dtype=array.dtype, pin_memory=pinned)
                for array in arrays
            ]
        self._copied = torch.cuda.Event() if stream else None  # type: ignore[no-untyped-call]

    def load(self, index_B: Tensor) -> list[Tensor]:
        """Read a batch and begin to copy it, once the one before has left the memory."""
        if self._copied:
            self._copied.synchronize()
        filled = [buffer[: len(index_B)] for buffer in self._buffers]
        for array, part in zip(self._arrays, filled, strict=True):
            torch.index_select(array, 0, index_B, out=part)
        with torch.cuda.stream(self._stream):
            sent = [part.to(self._device, non_blocking=True, copy=True) for part in filled]
            if self._copied:
                self._copied.record(self._stream)
        return sent

    def hand_over(self, sent: list[Tensor]) -> list[Tensor]:
        """What `load` gave, for the current stream: its work waits for the copy, the host does not.

        Until then the slot must not be loaded again.
        """
        if self._copied:
            current = torch.cuda.current_stream(self._device)
            current.wait_event(self._copied)
            for tensor in sent:
                tensor.record_stream(current)
        return sent


def _side_stream(device: torch.device) -> torch.cuda.Stream | None:
    if device.type != "cuda":
        return None
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
