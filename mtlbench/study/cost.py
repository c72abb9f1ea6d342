"""What a study will cost: seconds a step, from runs already done or a short calibration."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtlbench.config import ModelConfig
from mtlbench.data.resident import Batch
from mtlbench.models.network import build_model
from mtlbench.records import RunFolder, canonical_json
from mtlbench.study.design import Design, Run
from mtlbench.training.loop import take_step
from mtlbench.training.losses import weighted_cross_entropy
from mtlbench.training.tasks import Tasks

_CASES = 2
"""Cases of a calibration batch: small, so that planning a study for a GPU is bearable here."""
_ROUNDS = 2


def estimate_s(design: Design, folder: Path, size: tuple[int, int], device: str) -> float:
    """Seconds of training that the runs not yet done will take, one after another.

    Validation, prediction and start-up come on top. H x W = `size`.
    """
    seconds = 0.0
    known: dict[str, float] = {}
    for name, run in design.runs.items():
        record = RunFolder(folder / "runs" / name).record()
        if record.get("state") == "complete":
            known.setdefault(_kind(run), record["wall_s"] / record["steps"])
    for name, run in design.runs.items():
        if RunFolder(folder / "runs" / name).state() == "complete":
            continue
        if _kind(run) not in known:
            known[_kind(run)] = _calibrate(run.config, size, torch.device(device))
        before = design.runs[run.starts_from].steps if run.starts_from else 0
        seconds += known[_kind(run)] * (run.steps - before)
    return seconds


def _kind(run: Run) -> str:
    """Runs of a kind take the same time a step."""
    stage = run.config["stages"][-1]
    tasks = [stage["cls_weight"] > 0, stage["seg_weight"] > 0]
    return canonical_json([run.config["model"], run.config["optim"]["batch_size"], tasks])


def _calibrate(config: Mapping[str, Any], size: tuple[int, int], device: torch.device) -> float:
    """Seconds a step at the run's batch size, from a few steps on two random images."""
    torch.set_num_threads(config["threads"])
    model = build_model(ModelConfig(**config["model"]).model_copy(update={"weights": "none"}), 0)
    model = model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    stage = config["stages"][-1]
    tasks = Tasks(
        stage["cls_weight"], stage["seg_weight"], weighted_cross_entropy,
        torch.ones(5, device=device),
    )  # fmt: skip
    yes_B = torch.ones(_CASES, dtype=torch.bool, device=device)
    batch = Batch(
        torch.randn(_CASES, 1, *size, device=device),
        torch.zeros(_CASES, *size, dtype=torch.uint8, device=device),
        yes_B.float(), yes_B, yes_B, np.arange(_CASES),
    )  # fmt: skip
    times = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        take_step(tasks.losses(model, batch)[0], optimizer)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return min(times) * int(config["optim"]["batch_size"]) / _CASES
