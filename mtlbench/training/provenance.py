"""Where and with what a run was computed."""

import functools
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("mtlbench", "torch", "torchvision", "numpy", "optuna")


def provenance(device: torch.device) -> dict[str, Any]:
    """Device, versions and commit, as `record.json` has them."""
    return {
        "device": device_name(device),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in PACKAGES},
        "git_commit": _git_commit(),
    }


def device_name(device: torch.device) -> str:
    """The kind of GPU or processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({platform.machine()}, {os.cpu_count()} cores)"


@functools.cache
def _git_commit() -> str | None:
    """The commit of the checkout this package runs from; None for an installed wheel."""
    result = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() or None
