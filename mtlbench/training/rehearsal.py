"""A few optimisation steps on random images: how long a step takes, and what fits into memory."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from mtlbench.config import CLASSES, ModelConfig
from mtlbench.data.resident import Batch
from mtlbench.models.network import build_model
from mtlbench.training.host import set_up_host
from mtlbench.training.loop import placed, take_step
from mtlbench.training.start import weighted_tasks

_ROUNDS = 2
_NO_MEMORY = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""What a CPU, the CUDA runtime and its libraries say where torch's allocator is not asked."""


def step_s(
    config: Mapping[str, Any], size: tuple[int, int], cases: int, device: torch.device
) -> float:
    """Seconds of one step of a run's last stage on `cases` random images of H x W = `size`.

    Raises:
        OutOfMemoryError: that many cases do not fit.
    """
    set_up_host(config["threads"])
    model = build_model(ModelConfig(**config["model"]).model_copy(update={"weights": "none"}), 0)
    net = placed(model, device).train()
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    tasks = weighted_tasks(config, torch.ones(len(CLASSES), device=device))
    batch = _random_batch(cases, size, device)
    times = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        take_step(net, tasks, batch, optimizer)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return min(times)


def fitting_step_s(
    config: Mapping[str, Any], size: tuple[int, int], cases: int, device: torch.device
) -> float | None:
    """The same; None where that many cases do not fit."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    try:
        return step_s(config, size, cases, device)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None


def largest_batch(
    config: Mapping[str, Any], size: tuple[int, int], limit: int, device: torch.device
) -> tuple[int, float] | None:
    """The largest power of two, up to `limit`, of cases of which a step fits, and its seconds.

    None: not even one case fits.
    """
    for power in reversed(range(limit.bit_length())):
        seconds = fitting_step_s(config, size, 2**power, device)
        if seconds is not None:
            return 2**power, seconds
    return None


def is_out_of_memory(error: Exception) -> bool:
    """Whether the memory of the device or of the machine ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def _random_batch(cases: int, size: tuple[int, int], device: torch.device) -> Batch:
    yes_B = torch.ones(cases, dtype=torch.bool, device=device)
    return Batch(
        torch.randn(cases, 1, *size, device=device),
        torch.zeros(cases, *size, dtype=torch.uint8, device=device),
        yes_B.float(), yes_B, yes_B, np.arange(cases),
    )  # fmt: skip
