"""One run, from its configuration to its folder: train the last stage, predict, write.

Everything a run writes lies in its folder, and `record.json` is the last to change: a folder whose
record is not `complete` counts for nothing.
"""

import os
import platform
import subprocess
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import Timeout
from safetensors.torch import load_file, save_file

from mtlbench.config import (
    AugmentConfig,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    ResourcesConfig,
)
from mtlbench.data.prepared import open_prepared, read_table
from mtlbench.data.resident import Cohort
from mtlbench.data.split import fold_split
from mtlbench.errors import BusyError
from mtlbench.models.network import JointNet, build_model
from mtlbench.records import RunFolder, atomic_path, write_csv, write_json
from mtlbench.training.checkpoint import Checkpoints, StopRequest
from mtlbench.training.evaluate import Evaluation, evaluate
from mtlbench.training.findings import CANDIDATES, LESIONS, find
from mtlbench.training.loop import HISTORY, train
from mtlbench.training.losses import LOSSES, class_weights
from mtlbench.training.outputs import PREDICTIONS, panels, prediction_rows
from mtlbench.training.state import Row
from mtlbench.training.strategies import Stage
from mtlbench.training.tasks import Tasks

FILES = (
    "config.json", "history.csv", "predictions.csv", "lesions.csv", "candidates.csv",
    "model.safetensors", "panels.npz",
)  # fmt: skip
PACKAGES = ("mtlbench", "torch", "torchvision", "numpy", "optuna")


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker needs to do a run; only `config` shapes the result."""

    folder: Path
    prepared: Path
    cases: Path
    """The study's cases.csv, with `split` (and `fold`) as used."""
    config: Mapping[str, Any]
    device: str
    resources: ResourcesConfig


def execute(
    task: Task, report: Callable[[Row, int], None], stop: StopRequest | None = None
) -> None:
    """Do a run, from its checkpoint on; on return its folder is complete.

    `report` gets each epoch as it ends. Once `stop` is asked, a checkpoint is written.

    Raises:
        Stopped: `stop` was asked, and the checkpoint is written.
        BusyError: another process is doing this run.
        Exception: whatever broke the run; its record then says `failed` and why.
    """
    task.folder.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(task.folder)
    try:
        with folder.lock().acquire(timeout=10):
            _execute(folder, task, report, stop or StopRequest())
    except Timeout:
        raise BusyError(f"{task.folder}: another process is doing this run") from None


def _execute(
    folder: RunFolder, task: Task, report: Callable[[Row, int], None], stop: StopRequest
) -> None:
    if folder.state(verify=True) == "complete":
        return
    folder.tidy()
    device = torch.device(task.device)
    torch.set_num_threads(task.config["threads"])
    record = _opening_record(folder, task, device)
    write_json(folder.path / "config.json", task.config)
    folder.write_record(record)
    checkpoints = Checkpoints(folder.path, task.resources, stop)
    try:
        outcome = _train_and_write(folder, task, device, report, checkpoints)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        details = {"state": "failed", "error": reason, "traceback": traceback.format_exc()}
        folder.write_record(record | details)
        raise
    folder.write_record(record | outcome | {"state": "complete"})
    checkpoints.clear()


def _train_and_write(
    folder: RunFolder,
    task: Task,
    device: torch.device,
    report: Callable[[Row, int], None],
    checkpoints: Checkpoints,
) -> dict[str, Any]:
    started = time.perf_counter()
    config = task.config
    stage = Stage(**config["stages"][-1])
    optim = OptimConfig(**config["optim"])
    cohort = _cohort(task, device)
    model = _starting_model(folder, config).to(device)
    if device.type == "cuda":
        model = model.to(memory_format=torch.channels_last)
    rows: list[Row] = []

    def on_epoch(row: Row, epochs: int) -> None:
        rows.append(row)
        write_csv(folder.path / "history.csv", HISTORY, rows)
        report(row, epochs)

    tasks = _tasks(stage, config, cohort)
    progress = train(
        model,
        cohort,
        stage,
        tasks,
        optim,
        AugmentConfig(**config["augment"]),
        config["seed"],
        on_epoch,
        checkpoints,
    )
    before_s = time.perf_counter() - started
    trained = _trained(config, tasks)
    validation = _write_outputs(folder, model, cohort, trained, optim.batch_size)
    return {
        "wall_s": round(progress.train_s + time.perf_counter() - started - before_s, 3),
        "steps": progress.step,
        "cases_per_s": round(
            progress.step * min(optim.batch_size, len(cohort.split["train"])) / progress.train_s, 1
        ),
        "standardised": {"mean": cohort.mean, "sd": cohort.sd},
        "class_weights": tasks.class_weight_K.tolist() if stage.seg_weight else None,
        "validation": validation.summary(),
        "files": folder.describe(FILES),
    }


def _cohort(task: Task, device: torch.device) -> Cohort:
    prepared, cases, fold = (
        open_prepared(task.prepared),
        read_table(task.cases),
        task.config["fold"],
    )
    if fold is not None:
        rule = {key: value for key, value in task.config["split"].items() if key != "members"}
        cases = fold_split(cases, fold, DataConfig(**rule))
    return Cohort(prepared, cases["split"], device)


def _starting_model(folder: RunFolder, config: Mapping[str, Any]) -> JointNet:
    model = build_model(ModelConfig(**config["model"]), config["seed"])
    if config["starts_from"]:
        source = folder.path.parent / config["starts_from"] / "model.safetensors"
        model.load_state_dict(load_file(source))
    return model


def _tasks(stage: Stage, config: Mapping[str, Any], cohort: Cohort) -> Tasks:
    loss = LossConfig(**config["loss"])
    weight_K = (
        class_weights(loss, cohort.train_pixels()) if stage.seg_weight else np.ones(5, np.float32)
    )
    return Tasks(
        stage.cls_weight,
        stage.seg_weight,
        LOSSES[loss.segmentation],
        torch.from_numpy(weight_K).to(cohort.device),
    )


def _trained(config: Mapping[str, Any], tasks: Tasks) -> Tasks:
    """The tasks that any stage so far has trained: those the model can be asked for."""
    return Tasks(
        max(stage["cls_weight"] for stage in config["stages"]),
        max(stage["seg_weight"] for stage in config["stages"]),
        tasks.segmentation,
        tasks.class_weight_K,
    )


def _write_outputs(
    folder: RunFolder, model: JointNet, cohort: Cohort, tasks: Tasks, batch_size: int
) -> Evaluation:
    """Write predictions, weights and panels; return the validation result."""
    results = {
        split: evaluate(model, cohort, cohort.split[split], tasks, batch_size)
        for split in ("val", "test")
    }
    rows = [
        row for split, result in results.items() for row in prediction_rows(cohort, split, result)
    ]
    write_csv(folder.path / "predictions.csv", PREDICTIONS, rows)
    shown_N = np.concatenate([result.case_N for result in results.values()])
    lesion_rows, candidate_rows = find(model, cohort, shown_N, tasks)
    write_csv(folder.path / "lesions.csv", LESIONS, lesion_rows)
    write_csv(folder.path / "candidates.csv", CANDIDATES, candidate_rows)
    with atomic_path(folder.path / "model.safetensors") as temporary:
        state = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
        save_file(state, temporary)
    with atomic_path(folder.path / "panels.npz") as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **panels(model, cohort, tasks))
    return results["val"]


def _opening_record(folder: RunFolder, task: Task, device: torch.device) -> dict[str, Any]:
    return {
        "state": "running",
        "attempts": folder.record().get("attempts", 0) + 1,
        "seed": task.config["seed"],
        "fold": task.config["fold"],
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in PACKAGES},
        "git_commit": _git_commit(),
        "pid": os.getpid(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "error": None,
    }


def _processor() -> str:
    return f"cpu ({platform.machine()}, {os.cpu_count()} cores)"


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
