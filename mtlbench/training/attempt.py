"""One process's way through a run: train the last stage, predict, write.

A run on several devices is this in each of its ranks; the first one writes.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mtlbench.config import (
    AugmentConfig,
    DataConfig,
    OptimConfig,
    ResourcesConfig,
)
from mtlbench.data.prepared import open_prepared, read_table
from mtlbench.data.resident import Cohort
from mtlbench.data.split import fold_split
from mtlbench.errors import StudyError
from mtlbench.models.backbones.pretrained import weights_name
from mtlbench.models.network import JointNet
from mtlbench.records import MODEL, RunFolder, write_csv
from mtlbench.training.checkpoint import Checkpoints, Progress, write_tensors
from mtlbench.training.compiling import Choice, choose_mode, code_folder, measured_once, use_folder
from mtlbench.training.contact import Contact, Pruned
from mtlbench.training.loop import HISTORY, VALIDATION, placed, train
from mtlbench.training.outputs import write_outputs
from mtlbench.training.ranks import ALONE, Ranks
from mtlbench.training.rehearsal import step_s
from mtlbench.training.repeatable import repeatable
from mtlbench.training.start import model_config, stage_tasks, starting_model, trained_tasks
from mtlbench.training.state import DivergedError, EpochRow
from mtlbench.training.strategies import Stage
from mtlbench.training.tasks import Tasks


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker needs to do a run; only `config` shapes the result."""

    folder: Path
    prepared: Path
    cases: Path
    """The study's cases.csv, with `split` (and `fold`) as used."""
    config: Mapping[str, Any]
    devices: tuple[str, ...]
    """One per process of the run."""
    resources: ResourcesConfig
    weights: Path | None = None
    """The file of `model.weights`, which `config` names by its content."""
    sharers: int = 1
    """Runs that use a device at the same time, this one included."""


class Attempt:
    """One way through a run, on this process's device."""

    def __init__(
        self, task: Task, contact: Contact, checkpoints: Checkpoints, ranks: Ranks = ALONE
    ) -> None:
        """Nothing is read or written yet."""
        self._folder = RunFolder(task.folder)
        self._task, self._contact, self._checkpoints = task, contact, checkpoints
        self._ranks = ranks
        self._config = config = task.config
        self._optim = OptimConfig(**config["optim"])
        self._stage = Stage(**config["stages"][-1])
        self._device = torch.device(task.devices[ranks.index])
        self._rows: list[EpochRow] = []
        self._unrepeatable: set[str] = set()

    def run(self) -> dict[str, Any]:
        """Train, and in the first rank write; give what the record says at the end."""
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)  # else what names no device would go to the first
        with repeatable(self._device, self._task.resources.deterministic) as unrepeatable:
            unrepeatable.update(self._folder.record().get("nondeterministic", ()))
            self._unrepeatable = unrepeatable
            return self._run() | self._determinism()

    def _run(self) -> dict[str, Any]:
        started = time.perf_counter()
        cohort = self._cohort()
        mode, why = self._choice(cohort)
        start = model_config(self._config, self._task.weights)
        self._note(
            data=cohort.placement, compile=mode, compile_why=why, **self._determinism(),
            weights=weights_name(start.weights, start.backbone),
        )  # fmt: skip
        model = placed(starting_model(self._folder, self._config, start), self._device)
        tasks = stage_tasks(self._config, cohort)
        try:
            progress = self._train(model, cohort, tasks, mode)
        except Pruned:
            return {"state": "pruned", "validation": _validation(self._rows)}
        self._ranks.leave()
        if not self._ranks.first:
            return {}
        before_s = time.perf_counter() - started
        trained = trained_tasks(self._config, tasks)
        predict = tuple(self._config.get("predict", ("val", "test")))
        validation, files = write_outputs(
            self._folder, model, cohort, trained, self._optim.batch_size, predict
        )
        wall_s = progress.train_s + time.perf_counter() - started - before_s
        return self._summary(cohort, tasks, progress, wall_s) | {
            "validation": validation.summary(),
            "files": self._folder.describe(("config.json", "history.csv", *files)),
            "state": "complete",
        }

    def _choice(self, cohort: Cohort) -> Choice:
        """Whether the network is compiled; a run that goes on keeps its mode, and so its bits."""
        optim, asked, before = self._optim, self._task.resources.compile, self._folder.record()
        cases = math.ceil(optim.batch_size / self._ranks.count / optim.accumulate)
        height, width = open_prepared(self._task.prepared).images.shape[1:]
        what = (self._config, (height, width), cases, self._device)
        folder = code_folder(self._task.prepared.parents[1], *what)
        if asked == "auto" and "compile" in before:
            choice = Choice(before["compile"], before["compile_why"])
        else:
            steps = self._stage.total_steps(cohort.steps_per_epoch(optim.batch_size))
            choice = choose_mode(
                asked,
                self._device,
                self._ranks.count,
                steps,
                optim.accumulate,
                lambda: measured_once(folder, lambda: step_s(*what)),
            )
        if choice.mode != "off":
            use_folder(folder)
        return choice

    def _determinism(self) -> dict[str, Any]:
        wanted = self._device.type != "cuda" or self._task.resources.deterministic
        names = sorted(self._unrepeatable)
        return {"deterministic": wanted and not names, "nondeterministic": names}

    def _note(self, **facts: Any) -> None:
        """Put into the record what is known while the run is computed."""
        if self._ranks.first:
            self._folder.write_record(self._folder.record() | facts)

    def _train(self, model: JointNet, cohort: Cohort, tasks: Tasks, mode: str) -> Progress:
        try:
            return train(
                model,
                cohort,
                self._stage,
                tasks,
                optim=self._optim,
                augment=AugmentConfig(**self._config["augment"]),
                seed=self._config["seed"],
                on_epoch=self._on_epoch,
                checkpoints=self._checkpoints,
                ranks=self._ranks,
                mode=mode,
            )
        except DivergedError as error:
            if self._ranks.first:
                write_tensors(self._folder.path / MODEL, error.last_good)
            raise

    def _on_epoch(self, row: EpochRow) -> None:
        self._rows.append(row)
        if self._ranks.first:
            write_csv(self._folder.path / "history.csv", HISTORY, self._rows)
        if self._unrepeatable:  # told before a checkpoint after which it is not heard again
            self._note(**self._determinism())
        self._contact.check()

    def _cohort(self) -> Cohort:
        cases, fold = read_table(self._task.cases), self._config["fold"]
        if fold is not None:
            split = self._config["split"]
            rule = {key: value for key, value in split.items() if key != "members"}
            cases = fold_split(cases, fold, DataConfig(**rule))
        part, sharers = (self._ranks.index, self._ranks.count), self._task.sharers
        prepared = open_prepared(self._task.prepared)
        cohort = Cohort(prepared, cases["split"], self._device, self._contact.beat, part, sharers)
        batch = min(self._optim.batch_size, len(cohort.split["train"]))
        if batch < self._ranks.count * self._optim.accumulate:
            raise StudyError(
                "optim.accumulate times resources.gpus_per_run must be at most the cases of a "
                f"training batch, {batch}, but got {self._optim.accumulate} x {self._ranks.count}"
            )
        return cohort

    def _summary(
        self, cohort: Cohort, tasks: Tasks, progress: Progress, wall_s: float
    ) -> dict[str, Any]:
        cases = progress.step * min(self._optim.batch_size, len(cohort.split["train"]))
        return {
            "wall_s": round(wall_s, 3),
            "steps": progress.step,
            "cases_per_s": round(cases / progress.train_s, 1),
            "standardised": {"mean": cohort.mean, "sd": cohort.sd},
            "class_weights": tasks.class_weight_K.tolist() if self._stage.seg_weight else None,
        }


def _validation(rows: Sequence[EpochRow]) -> dict[str, Any]:
    """The metrics of the last epoch that was validated; None where none was."""
    validated = [row for row in rows if any(row[name] is not None for name in VALIDATION)]
    last = (validated or rows)[-1]
    return {metric: last[f"val_{metric}"] for metric in ("auc", "dice", "dice_lesions", "dice_any")}
