"""What a piece of work asks of the device, counted exactly: operations, waits, bytes.

All of it is seen where torch dispatches, so it is the same on every machine.
"""

import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mtlbench.bench.measure import Work

_NO_KERNEL = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided",
              "_unsafe_view", "device"}  # fmt: skip
"""Allocations, a view that torch does not call one, a fake tensor's device: nothing is computed."""
_INDEXED = (torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_)
_WAITS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts kernels (dispatched operations but views and allocations) and host waits.

    The host waits for the device where it needs a value (`.item()`), where a result's shape
    depends on values (`nonzero`, `unique`, `bincount`, a boolean index), and for copies to it.
    """

    def __init__(self) -> None:
        """Nothing is counted yet."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernels = 0
        self.waits = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Count, then do."""
        out = func(*args, **(kwargs or {}))
        self.kernels += is_kernel(func)
        self.waits += _waits(func, args, out)
        return out


def is_kernel(func: Any) -> bool:
    """Whether an operation computes something: it is neither a view nor an allocation."""
    return not func.is_view and func.overloadpacket.__name__ not in _NO_KERNEL


def _waits(func: Any, args: Sequence[Any], out: Any) -> bool:
    if func.overloadpacket in _INDEXED:
        return any(index.dtype in (torch.bool, torch.uint8) for index in _tensors(args[1]))
    to_host = isinstance(out, Tensor) and out.device.type == "cpu"
    if to_host and any(tensor.device.type == "cuda" for tensor in _tensors(args)):
        return True
    return not _WAITS.isdisjoint(func.tags)


class Memory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the storages that operations make: bytes alive, and their peak.

    What an operation needs within itself is not seen.
    """

    def __init__(self) -> None:
        """Nothing is alive yet."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive: int = 0
        self.peak: int = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Do, then look at what came of it."""
        before = {_storage_id(tensor) for tensor in _tensors(args)}
        out = func(*args, **(kwargs or {}))
        for tensor in _tensors(out):
            key = _storage_id(tensor)
            if key not in before | self._known:
                self._add(key, tensor.untyped_storage())
        self.peak = max(self.peak, self.alive)
        return out

    def _add(self, key: int, storage: torch.UntypedStorage) -> None:
        self._known.add(key)
        self.alive += storage.nbytes()
        weakref.finalize(storage, self._drop, key, storage.nbytes())

    def _drop(self, key: int, nbytes: int) -> None:
        self._known.discard(key)
        self.alive -= nbytes


def clock(device: torch.device) -> Callable[[], float]:
    """Seconds, read when the device has done what it was asked."""

    def read() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return read


def own_clock(device: torch.device) -> Callable[[], float]:
    """The same, on a CPU of this process's time alone, which other programs hardly lengthen."""
    return clock(device) if device.type == "cuda" else time.process_time


def stopwatch(device: torch.device) -> Callable[[Work], float]:
    """How long a work takes the device."""
    read = clock(device)

    def seconds(work: Work) -> float:
        began = read()
        work()
        return read() - began

    return seconds


@contextmanager
def host_waits(device: torch.device) -> Iterator[Callable[[], float]]:
    """Gives what reads how often the host has waited so far; CUDA tells of more than is dispatched.

    torch says so in a warning, which comes on a GPU alone.
    """
    with Operations() as operations, warnings.catch_warnings(record=True) as heard:
        if device.type != "cuda":
            yield lambda: operations.waits
            return
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield lambda: sum("synchronizing CUDA" in str(one.message) for one in heard)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """Most bytes that `work` holds at a time beyond what was there before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before: int = torch.cuda.memory_allocated(device)
        work()
        most: int = torch.cuda.max_memory_allocated(device)
        return most - before
    memory = Memory()
    with memory:
        work()
    return memory.peak


def saved_bytes(forward: Callable[[], object], model: nn.Module) -> int:
    """Bytes that `forward` keeps for the backward pass, the model's own tensors left out."""
    own = {_storage_id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if _storage_id(tensor) not in own:
            sizes[_storage_id(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = forward()  # alive, so that no storage takes the place of another
    del kept
    return sum(sizes.values())


def _tensors(values: Any) -> Iterable[Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))


def _storage_id(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
