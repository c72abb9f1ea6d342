"""Where and with what a run was computed."""

import functools
import os
import platform
import shutil
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import mtlbench

PACKAGES = ("mtlbench", "torch", "torchvision", "numpy", "optuna")
SOURCES = ("mtlbench", "studies", "pyproject.toml")
"""What shapes a result; `results/` is tracked too, and every run changes it."""


def provenance(device: torch.device) -> dict[str, Any]:
    """Device, versions and commit, as `record.json` has them."""
    return {
        "device": device_name(device),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in PACKAGES},
        "git_commit": git_commit(Path(mtlbench.__file__).parents[1]),
    }


def device_name(device: torch.device) -> str:
    """The kind of GPU or processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({platform.machine()}, {os.cpu_count()} cores)"


@functools.cache
def git_commit(root: Path) -> str | None:
    """The commit of the checkout at `root`, with `-dirty` where its sources differ from it.

    None where `root` is no checkout of mtlbench: an installed package has no commit of ours, also
    where it lies inside somebody else's repository.
    """
    if shutil.which("git") is None or not (root / ".git").exists() or not _is_ours(root):
        return None
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--", *SOURCES)
    return f"{commit}-dirty" if commit and changed else commit or None


def _is_ours(root: Path) -> bool:
    path = root / "pyproject.toml"
    project = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return bool(project.get("project", {}).get("name") == "mtlbench")


def _git(root: Path, *arguments: str) -> str:
    """What git says; nothing where it refuses. No lock is taken, as many runs ask at once."""
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
