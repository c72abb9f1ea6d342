"""What the study engine itself costs at 10,000 runs: the driver a run, a start, `study status`.

Runs are done by an executor that writes a complete folder at once, so that what is left is the
driver: agenda, Optuna store, watching, recording. All but the last runs are complete beforehand.
"""

import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from mtlbench.bench.measure import Result, Row
from mtlbench.config import load_study
from mtlbench.records import RunFolder, run_folder, write_csv, write_json
from mtlbench.study.ablation import Ablation
from mtlbench.study.cells import expand
from mtlbench.study.data import load_data
from mtlbench.study.design import build_design
from mtlbench.study.driver import Driver
from mtlbench.study.executors import Ended
from mtlbench.study.listeners import Listeners
from mtlbench.study.optuna_storage import default_url
from mtlbench.study.optuna_study import Store
from mtlbench.study.progress import PlainProgress
from mtlbench.study.session import Options, drive, open_session
from mtlbench.training.run import Task

RUNS = 10_000
TIMED = 100
"""Runs of each of the two timed halves."""
STUDY = """
name = "bench"
dataset = "phantom"
seeds = {seeds}
baseline = "cls"
[data]
size = [32, 24]
patients = 12
[budget]
epochs = 1
[base.model]
backbone = "small"
[[arms]]
name = "cls"
set = {{ strategy = "cls" }}
"""
FILES = ("history.csv", "predictions.csv", "model.safetensors")


class _Instant:
    """An executor whose runs are done as soon as they are asked for; it notes when that was."""

    slots = 1

    def __init__(self) -> None:
        self.asked_at: list[float] = []
        self._ended: list[Ended] = []

    def submit(self, task: Task) -> None:
        self.asked_at.append(time.perf_counter())
        _complete(task.folder, task.config)
        self._ended.append(Ended(task.folder.name, None))

    def adopts(self, folder: Path) -> bool:
        return False

    def wait(self, timeout_s: float) -> list[Ended]:
        ended, self._ended = self._ended, []
        return ended

    def kill(self, run: str) -> None:
        """Nothing ever hangs."""

    def close(self) -> None:
        """Nothing is left."""


def run() -> Result:
    """Milliseconds of the driver a run, and seconds of a start and of `study status`."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "bench.toml"
        file.write_text(STUDY.format(seeds=list(range(RUNS))))
        folder = file.with_suffix("")
        asked_at = _drive(file, folder)
        first, last = np.diff(asked_at)[:TIMED], np.diff(asked_at)[TIMED:]
        start_s = [_start_s(file) for _ in range(3)]
        status_s = [_status_s(folder) for _ in range(3)]
    per_run_ms = 1000 * float(np.median(np.diff(asked_at)))
    rows = [
        Row("ms_per_run", "the driver, a run of 10,000", per_run_ms, "ms", 200.0),
        Row("start_10000", "a start with nothing left to do", float(np.median(start_s)), "s", None),
        Row("status_10000", "mtlbench study status", float(np.median(status_s)), "s", 2.0),
    ]
    return Result(abs(float(np.median(first) / np.median(last)) - 1), rows)


def _drive(file: Path, folder: Path) -> list[float]:
    """Drive a study of 10,000 runs, most of them complete; when each other one was started."""
    study = load_study(file)
    data = load_data(study, {})
    design = build_design(study, expand(study), data)
    write_csv(folder / "cells.csv", *design.cells_table())
    for name, run in list(design.runs.items())[: -2 * TIMED]:
        _complete(run_folder(folder, name).path, run.config)
    store = Store(default_url(folder), study.name, design, folder)
    executor = _Instant()
    with (folder / "log").open("w") as log:
        listeners = Listeners(PlainProgress(Console(file=log)))
        agenda = Ablation(design, folder, store, study)
        Driver(folder, folder, agenda, executor, listeners, study.resources).run()
    return executor.asked_at


def _complete(path: Path, config: Mapping[str, Any]) -> None:
    """What a run leaves, but for the training."""
    path.mkdir(parents=True, exist_ok=True)
    write_json(path / "config.json", config)
    for name in FILES:
        (path / name).write_text("stage,epoch,step\n")
    validation = {"auc": 0.5, "dice": None, "dice_lesions": None, "dice_any": None}
    record = {"attempts": 1, "failures": 0, "error": None, "validation": validation}
    folder = RunFolder(path)
    files = folder.describe(["config.json", *FILES])
    folder.write_record(record | {"state": "complete", "files": files})


def _start_s(file: Path) -> float:
    """Seconds in which a `study run` finds that all is done; without the imports and the report."""
    console = Console(file=io.StringIO())
    began = time.perf_counter()
    drive(open_session(file, file.parent, {}, console), Options([("cpu",)]), console)
    return time.perf_counter() - began


def _status_s(folder: Path) -> float:
    """Seconds of the command, interpreter and all."""
    code = "from mtlbench.cli import main; main()"
    began = time.perf_counter()
    command = [sys.executable, "-c", code, "study", "status", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began
