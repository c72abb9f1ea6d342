"""Which batch would fit on a GPU, and how fast it is: what to state in the study file.

Results depend on the batch size, so it is never found while a study runs.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch

from mtlbench.config import StudyConfig
from mtlbench.data.gather import choose_gather, free_memory
from mtlbench.records import canonical_json
from mtlbench.study.cells import resolve
from mtlbench.study.data import StudyData
from mtlbench.study.design import Design, Run, chain
from mtlbench.study.search.space import middle
from mtlbench.training.rehearsal import fitting_step_s, largest_batch
from mtlbench.training.repeatable import repeatable


def rehearse_batches(
    study: StudyConfig, data: StudyData, design: Design, device: str
) -> list[dict[str, Any]]:
    """A row per model: cases at a time as stated and at most, with cases per second of each.

    The study's data lie on the device, as in a run. A CPU has none: its memory is the machine's,
    which would not refuse, and more cases at a time are no faster there.
    """
    place = torch.device(device)
    if place.type != "cuda":
        return []
    with repeatable(place, study.resources.deterministic):
        held, _ = choose_gather(data.prepared, place, free_memory(place))
        rows = [_row(run, data, place) for run in _runs(study, data, design)]
        del held
    return rows


def describe(rows: list[dict[str, Any]]) -> list[str]:
    """Give the rows as lines for the screen."""
    lines = []
    for row in rows:
        stated = "do not fit" if row["cases_per_s"] is None else f"{row['cases_per_s']} a second"
        most = (
            "not even one fits"
            if row["largest"] is None
            else f"{row['largest']} fit, {row['largest_cases_per_s']} a second"
        )
        lines.append(
            f"{row['backbone']} at output stride {row['output_stride']}: {row['cases']} cases at "
            f"a time as stated, {stated}; {most}"
        )
    return lines


def _row(run: Run, data: StudyData, device: torch.device) -> dict[str, Any]:
    size, cases = data.config.size, _at_a_time(run)
    seconds = fitting_step_s(run.config, size, cases, device)
    found = largest_batch(run.config, size, data.training_cases, device)
    return {
        **{key: run.config["model"][key] for key in ("backbone", "output_stride")},
        "cases": cases,
        "cases_per_s": None if seconds is None else round(cases / seconds, 1),
        "largest": None if found is None else found[0],
        "largest_cases_per_s": None if found is None else round(found[0] / found[1], 1),
    }


def _runs(study: StudyConfig, data: StudyData, design: Design) -> Iterator[Run]:
    """Yield one run for each model and batch: one that computes both heads if there is any."""
    fold = 0 if data.config.folds else None
    searched = (
        chain(study, resolve(study, arm, middle(arm)), data, 0, fold)
        for arm in study.arms
        if arm.search
    )
    kinds: dict[str, Run] = {}
    for run in itertools.chain(design.runs.values(), *searched):
        kind = canonical_json([run.config["model"], _at_a_time(run)])
        kinds[kind] = max(kinds.get(kind, run), run, key=_heads)
    return iter(kinds.values())


def _at_a_time(run: Run) -> int:
    """Cases that a device computes at a time."""
    optim = run.config["optim"]
    devices = int(run.config.get("gpus_per_run", 1))
    return math.ceil(int(optim["batch_size"]) / devices / int(optim["accumulate"]))


def _heads(run: Run) -> int:
    stage = run.config["stages"][-1]
    return sum(float(stage[weight]) > 0 for weight in ("cls_weight", "seg_weight"))
