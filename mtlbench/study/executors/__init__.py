"""Where runs are computed. To add one: a module with an `Executor`, and a line here."""

import os
from collections.abc import Callable
from pathlib import Path

from mtlbench.config import ResourcesConfig
from mtlbench.study.executors.base import Ended, Executor, Kind
from mtlbench.study.executors.local import LocalExecutor
from mtlbench.study.executors.places import Places, choose_devices


def _ray(places: Places, resources: ResourcesConfig, folder: Path) -> Executor:
    from mtlbench.study.executors.ray import RayExecutor  # an extra

    return RayExecutor(places, resources, folder)


def _slurm(places: Places, resources: ResourcesConfig, folder: Path) -> Executor:
    from mtlbench.study.executors.slurm import SlurmExecutor  # an extra

    return SlurmExecutor(places, resources, folder)


EXECUTORS: dict[str, Callable[[Places, ResourcesConfig, Path], Executor]] = {
    "local": LocalExecutor,
    "ray": _ray,
    "slurm": _slurm,
}
"""Called with the slots, `[resources]` and the study's results folder."""


def is_elsewhere(executor: str) -> bool:
    """Whether runs are computed on machines that need not be like this one."""
    return executor == "slurm" or (executor == "ray" and "RAY_ADDRESS" in os.environ)


__all__ = ["EXECUTORS", "Ended", "Executor", "Kind", "Places", "choose_devices", "is_elsewhere"]
