"""What a study will cost: seconds a step, from runs already done or a short calibration."""

from pathlib import Path

import torch

from mtlbench.records import RunFolder, canonical_json
from mtlbench.study.design import Design, Run
from mtlbench.training.rehearsal import step_s

_CASES = 2
"""Cases of a calibration batch: small, so that planning a study for a GPU is bearable here."""


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
            seconds_of_few = step_s(run.config, size, _CASES, torch.device(device))
            known[_kind(run)] = seconds_of_few * int(run.config["optim"]["batch_size"]) / _CASES
        before = design.runs[run.starts_from].steps if run.starts_from else 0
        seconds += known[_kind(run)] * (run.steps - before)
    return seconds


def _kind(run: Run) -> str:
    """Runs of a kind take the same time a step."""
    stage = run.config["stages"][-1]
    tasks = [stage["cls_weight"] > 0, stage["seg_weight"] > 0]
    return canonical_json([run.config["model"], run.config["optim"]["batch_size"], tasks])
