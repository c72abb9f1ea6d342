"""What the parts of a training step take: time, memory, operations.

S = steps, P = parts.
"""

import time
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mtlbench.bench.counters import peak_bytes, saved_bytes
from mtlbench.bench.measure import Row, attempt
from mtlbench.bench.train.loop import kernels, waits
from mtlbench.bench.train.setting import Metered, Setting
from mtlbench.training.loop import take_step

PARTS = {
    "data": "gathering and standardising",
    "augmentation": "augmenting",
    "forward": "forward pass",
    "tail": "loss tail, which makes its gradient too",
    "backward": "backward pass",
    "optimiser": "AdamW",
}
DATA_SHARE = 5.0
"""Percent of a step that data and augmentation may take on a GPU."""


def step_rows(setting: Setting, cohort: Metered) -> list[Row]:
    """Each part's milliseconds, and bytes, operations and host waits."""
    parts = attempt("part_times", partial(part_times, setting, cohort)) or dict.fromkeys(PARTS)
    peak, saved = attempt("memory", partial(megabytes, setting)) or (None, None)
    return [
        *_part_rows(parts, setting.on_gpu),
        Row("peak_mb", "most memory that a step holds at a time, an image", peak, "MB", None),
        Row("saved_mb", "what is kept for the backward pass, an image", saved, "MB", None),
        Row("step_ops", "operations of a step, data and augmentation included",
            attempt("step_ops", partial(kernels, setting, cohort)), "count", None),
        Row("step_syncs", "host waits of such a step",
            attempt("step_syncs", partial(waits, setting, cohort)), "count", 0.0, noise=0.0),
    ]  # fmt: skip


def part_times(setting: Setting, cohort: Metered) -> dict[str, float | None]:
    """Seconds of each part of a step, the median over the steps of an epoch but the first.

    Augmentation is what an augmented batch takes beyond one that is not.
    """
    model, tasks = setting.model(), setting.tasks()
    optimizer = setting.optimizer(model)
    plain = cohort.eval_batches(cohort.split["train"], setting.batch_size)
    augmented = iter(cohort)
    marks = Marks(setting.device)
    for _ in range(len(cohort)):
        next(plain)
        marks.set()
        batch = next(augmented)
        marks.set()
        logits = tasks.forward(model, batch)
        marks.set()
        loss, _, _ = tasks.losses(_Given(logits), batch, tasks.counts(batch))
        marks.set()
        torch.autograd.backward(loss)
        marks.set()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        marks.set()
    part_SP = np.reshape(marks.between_s(), (len(cohort), len(PARTS)))
    data, made, *rest = np.median(part_SP[1:], axis=0).tolist()
    return dict(zip(PARTS, (data, max(made - data, 0.0), *rest), strict=True))


class _Given(nn.Module):
    """A network that has its outputs already."""

    def __init__(self, outputs: tuple[Tensor | None, Tensor | None]) -> None:
        super().__init__()
        self._outputs = outputs

    def forward(
        self, image_B1HW: Tensor, *, classify: bool, segment: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        return self._outputs


class Marks:
    """Points in time on the device, the first is now; nothing waits for it before they are read."""

    def __init__(self, device: torch.device) -> None:
        """By CUDA events, on a CPU by the clock."""
        self._device = device
        self._marks: list[Any] = []
        self.set()

    def set(self) -> None:
        """Another one, once what was asked so far is done."""
        mark: Any = time.perf_counter()
        if self._device.type == "cuda":
            mark = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            mark.record(torch.cuda.current_stream(self._device))
        self._marks.append(mark)

    def between_s(self) -> list[float]:
        """Seconds from each to the next."""
        if self._device.type != "cuda":
            return [after - before for before, after in pairwise(self._marks)]
        torch.cuda.synchronize(self._device)
        return [before.elapsed_time(after) / 1e3 for before, after in pairwise(self._marks)]


def _part_rows(parts: dict[str, float | None], cuda: bool) -> list[Row]:
    times = {name: value for name, value in parts.items() if value is not None}
    whole = sum(times.values())
    rows = [
        Row(f"{name}_ms", f"{what}: {100 * times[name] / whole:.1f} % of a step" if times else what,
            1e3 * times[name] if times else None, "ms", None)
        for name, what in PARTS.items()
    ]  # fmt: skip
    share = 100 * (times["data"] + times["augmentation"]) / whole if times else None
    what = "data and augmentation, part of a step"
    return [*rows, Row("data_share", what, share, "%", DATA_SHARE if cuda else None)]


def megabytes(setting: Setting) -> tuple[float, float]:
    """Peak of a step, and what forward keeps for backward, an image; the optimiser has begun."""
    model, tasks, batch = setting.model(), setting.tasks(), setting.batch()
    optimizer = setting.optimizer(model)
    step = partial(take_step, model, tasks, batch, optimizer)
    step()
    optimizer.zero_grad(set_to_none=True)
    peak = peak_bytes(step, setting.device)
    saved = saved_bytes(lambda: tasks.losses(model, batch, tasks.counts(batch)), model)
    return peak / 1e6 / setting.batch_size, saved / 1e6 / setting.batch_size
