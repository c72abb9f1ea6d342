"""Checkpoints of a run: the newest two, each whole or not there, without anything unpickled.

A file of tensors (safetensors) is written first, and `checkpoints.json`, which lists what may be
believed with its SHA-256, is replaced after it: a kill between the two costs a checkpoint, not
the run. What a run's later bits depend on is in it: weights, optimiser, kept weights, position
and the losses of the epoch so far; augmentation and order are functions of seed, epoch and case,
and the learning rate one of the step.
"""

import json
import platform
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from mtlbench.config import ResourcesConfig
from mtlbench.records import atomic_path, file_sha256, read_json, write_json

INDEX = "checkpoints.json"
KEPT = 2
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Stopped(BaseException):
    """A signal asked the run to end; its checkpoint is written."""


class StopRequest:
    """Whether a signal has asked this process to end, after a checkpoint."""

    def __init__(self) -> None:
        """Nothing is asked yet."""
        self.asked = False

    def listen(self) -> None:
        """Let SIGTERM and SIGUSR1 ask."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True


@dataclass(slots=True)
class Progress:
    """Where a stage is: `step` steps are taken; `tensors` and `rows` are as of then."""

    step: int = 0
    train_s: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    best: float | None = None
    tensors: dict[str, Tensor] = field(default_factory=dict)


class Checkpoints:
    """The checkpoints in a run's folder, and when the next one is due."""

    def __init__(self, folder: Path, resources: ResourcesConfig, stop: StopRequest) -> None:
        """`folder` is the run's, whose lock this process holds."""
        self._folder = folder
        self._every_s = 60 * resources.checkpoint_minutes
        self._every_steps = resources.checkpoint_steps
        self._stop = stop
        self._saved_at = time.monotonic()

    def due(self, step: int) -> bool:
        """Tell whether to save after this step: its turn has come, or a stop is asked."""
        if self._stop.asked:
            return True
        if self._every_steps is not None:
            return step % self._every_steps == 0
        return time.monotonic() - self._saved_at >= self._every_s

    def save(self, progress: Progress) -> None:
        """Write a checkpoint, durably; the one before the last goes.

        Raises:
            Stopped: a stop was asked, and the checkpoint is written.
        """
        path = self._folder / f"checkpoint-{progress.step}.safetensors"
        write_tensors(path, progress.tensors)
        entry = {
            "file": path.name,
            "sha256": file_sha256(path),
            "step": progress.step,
            "train_s": progress.train_s,
            "rows": progress.rows,
            "best": progress.best,
            "made_by": _makers(),
        }
        others = [old for old in self._entries() if old["file"] != path.name]
        entries = [entry, *others][:KEPT]
        write_json(self._folder / INDEX, entries)
        self._keep_only({entry["file"] for entry in entries})
        self._saved_at = time.monotonic()
        if self._stop.asked:
            raise Stopped

    def load(self, device: torch.device) -> Progress | None:
        """Give the newest checkpoint that is whole and of these versions; None: begin anew."""
        for entry in self._entries():
            path = self._folder / entry["file"]
            if entry["made_by"] != _makers() or not path.is_file():
                continue
            if file_sha256(path) != entry["sha256"]:
                continue
            try:
                tensors = load_file(path, device=str(device))
            except SafetensorError:
                continue
            return Progress(entry["step"], entry["train_s"], entry["rows"], entry["best"], tensors)
        return None

    def clear(self) -> None:
        """Remove all of them: the run is complete."""
        (self._folder / INDEX).unlink(missing_ok=True)
        self._keep_only(set())

    def _entries(self) -> list[dict[str, Any]]:
        """Newest first; what cannot be read as an entry is none."""
        try:
            found = read_json(self._folder / INDEX)
        except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
            return []
        entries = found if isinstance(found, list) else []
        fields = {"file", "sha256", "step", "train_s", "rows", "best", "made_by"}
        return [entry for entry in entries if isinstance(entry, dict) and fields <= set(entry)]

    def _keep_only(self, names: set[str]) -> None:
        for path in self._folder.glob("checkpoint-*.safetensors"):
            if path.name not in names:
                path.unlink()


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file, atomically.

    Its bytes are made first: safetensors' own writing tells of a full disk by no OSError.
    """
    data = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def _makers() -> dict[str, str]:
    """What must be the same for the same bits: versions and the kind of machine."""
    packages = ("mtlbench", "torch", "numpy")
    return {name: version(name) for name in packages} | {"machine": platform.machine()}
