"""How fast a network could train: each operation takes its arithmetic or its traffic.

The network's forward and backward pass is traced on torch's fake tensors, of which nothing is
computed. An operation takes max(FLOPs / peak, bytes / bandwidth) (Williams et al. 2009); bytes are
those of its inputs and outputs, once each, batch norm's input twice in training (statistics, then
values). The step's other parts (data, loss tail, optimiser) are left out, so the limit is a little
higher than a step can reach.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from mtlbench.bench.counters import is_kernel, stopwatch
from mtlbench.bench.measure import in_turn
from mtlbench.bench.train.setting import Setting
from mtlbench.models.network import build_model

ATTAINABLE = (0.8, 0.9)
"""Shares of a data sheet's FLOP/s and bandwidth that large kernels reach."""
H100 = "NVIDIA H100 80GB HBM3"
"""The one with SXM; others of that name (PCIe, NVL, parts by MIG) are slower."""
DATA_SHEETS = {
    H100: (989e12, 3.35e12),
    "NVIDIA H200": (989e12, 4.8e12),
    "NVIDIA A100-SXM4-80GB": (312e12, 2.04e12),
    "NVIDIA A100-SXM4-40GB": (312e12, 1.555e12),
    "NVIDIA GeForce RTX 4090": (165e12, 1.01e12),
    "NVIDIA GeForce RTX 3090": (71e12, 0.936e12),
}
"""A GPU's whole name → FLOP/s of bfloat16 without sparsity, bytes/s."""
_TWICE = {
    torch.ops.aten.native_batch_norm: 1,
    torch.ops.aten.native_batch_norm_backward: 2,
}
"""Operations that read their first so many inputs twice."""


class Peaks(NamedTuple):
    """What a device attains, in FLOP/s and bytes/s, and where the numbers are from."""

    flops: float
    bandwidth: float
    source: str


class Limit(NamedTuple):
    """Of one image: FLOPs and the least seconds, eager and with fused elementwise passes."""

    flops: float
    eager_s: float
    compiled_s: float


class _Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sums the times of operations at given peaks."""

    def __init__(self, peaks: Peaks) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._peaks = peaks
        self.flops = self.eager_s = self.compiled_s = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if not is_kernel(func):
            return out
        count = flop_registry.get(func.overloadpacket)
        flops = float(count(*args, **(kwargs or {}), out_val=out)) if count else 0.0
        read = [_bytes(leaf) for leaf in tree_leaves(args)]
        twice = sum(read[: _TWICE.get(func.overloadpacket, 0)])
        total = sum(read) + twice + sum(_bytes(leaf) for leaf in tree_leaves(out))
        self.flops += flops
        self.eager_s += self._seconds(flops, total)
        self.compiled_s += self._seconds(flops, _fused(func, read, total))
        return out

    def _seconds(self, flops: float, nbytes: float) -> float:
        return max(flops / self._peaks.flops, nbytes / self._peaks.bandwidth)


def _bytes(leaf: object) -> int:
    return leaf.numel() * leaf.itemsize if isinstance(leaf, Tensor) else 0


def _fused(func: Any, read: list[int], total: int) -> int:
    """Bytes after fusion: an elementwise pass joins the one before it and reads the rest only."""
    return sum(sorted(read)[:-1]) if torch.Tag.pointwise in func.tags else total


def limit(setting: Setting, peaks: Peaks) -> Limit:
    """The limit of the network's forward and backward pass, both tasks, per image."""
    model = build_model(setting.model_config, 0).to(setting.dtype)
    with FakeTensorMode(allow_non_fake_inputs=True), _Trace(peaks) as trace:
        image_B1HW = torch.empty(setting.batch_size, 1, *setting.size, dtype=setting.dtype)
        outputs = model(image_B1HW, classify=True, segment=True)
        torch.autograd.backward(outputs, [torch.empty_like(out) for out in outputs])
    sums = (trace.flops, trace.eager_s, trace.compiled_s)
    return Limit(*(total / setting.batch_size for total in sums))


def peaks_of(device: torch.device, dtype: torch.dtype) -> Peaks:
    """From the data sheet where the GPU is known, else measured with numbers of `dtype`."""
    if device.type == "cuda":
        sheet = DATA_SHEETS.get(torch.cuda.get_device_name(device))
        if sheet is not None:
            flops, bandwidth = (peak * part for peak, part in zip(sheet, ATTAINABLE, strict=True))
            return Peaks(flops, bandwidth, "its data sheet")
    return _measured_peaks(device, dtype)


def _measured_peaks(device: torch.device, dtype: torch.dtype) -> Peaks:
    """By a product of two matrices and a copy, both large for the kind of device."""
    side, length = (8192, 2**28) if device.type == "cuda" else (2048, 2**26)
    matrix = torch.ones(side, side, device=device, dtype=dtype)
    source = torch.ones(length, device=device)
    target = torch.empty_like(source)
    product, copy = (lambda: matrix @ matrix), (lambda: target.copy_(source))
    product_s, copy_s = (min(times) for times in in_turn((product, copy), 5, stopwatch(device)))
    measured = "measured: a matrix product, a copy"
    return Peaks(2 * side**3 / product_s, 2 * source.nbytes / copy_s, measured)
