"""The devices that runs are computed on: a place per slot of an executor."""

import os
from collections import Counter
from collections.abc import Sequence

import torch

from mtlbench.errors import StudyError

Places = list[tuple[str, ...]]
"""The devices of each slot: one per process of a run."""


def choose_devices(
    device: str, jobs: int | None, threads: int, per_run: int = 1, *, elsewhere: bool = False
) -> Places:
    """The devices of each slot: all GPUs, `per_run` for a run, or a CPU's cores by threads.

    Runs that are computed `elsewhere` have GPUs that this machine need not have.

    Raises:
        StudyError: the device does not exist on this machine, or there are too few for a run.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if elsewhere and device == "cuda":
        return [tuple(f"cuda:{index}" for index in range(per_run))] * (jobs or 1)
    if device == "cpu":
        slots = max(1, (os.cpu_count() or 1) // (threads * per_run))
        return [("cpu",) * per_run] * (jobs or slots)
    known = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    wanted = known if device == "cuda" else [device]
    if not wanted or not set(wanted) <= set(known):
        raise StudyError(f"--device must be auto, cpu or one of {known}, but got {device!r}")
    if len(wanted) < per_run:
        raise StudyError(
            f"resources.gpus_per_run must be at most the GPUs there are, {len(wanted)}, "
            f"but got {per_run}"
        )
    groups = [tuple(wanted[i : i + per_run]) for i in range(0, len(wanted) - per_run + 1, per_run)]
    return [groups[index % len(groups)] for index in range(jobs or len(groups))]


def most_sharers(places: Sequence[tuple[str, ...]]) -> int:
    """Slots that use the same device, where most do; runs on a GPU divide its free memory so."""
    return max(Counter(device for place in places for device in place).values())
