"""A study's design table: its cells, and the runs that fill them.

A run is a cell with one seed and fold, named by the hash of everything that shapes its result.
Cells with the same configuration share a run, and so do strategies with the same first stage.
"""

import itertools
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mtlbench.config import SCHEMA, RunConfig, StudyConfig
from mtlbench.models.backbones.pretrained import weights_file, weights_identity
from mtlbench.records import digest, run_folder
from mtlbench.study.cells import Cell
from mtlbench.study.data import StudyData
from mtlbench.study.search.space import plain
from mtlbench.training.strategies import STRATEGIES, Stage


@dataclass(frozen=True)
class Run:
    """One training: its configuration, as hashed, and the optimisation steps of its whole chain."""

    config: Mapping[str, Any]
    steps: int
    epochs: int
    """Of its own stage."""
    weights: Path | None = None
    """Where the file lies whose content `model.weights` of the configuration names."""

    @cached_property
    def hash(self) -> str:
        """The run's name."""
        return digest(self.config)

    @property
    def starts_from(self) -> str | None:
        """The run whose weights this one starts from."""
        start: str | None = self.config["starts_from"]
        return start


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """The run of a cell, seed and fold: a line of cells.csv; no cell: a shared stage."""

    cell: Cell | None
    seed: int
    fold: int | None
    run: Run


@dataclass(frozen=True)
class Design:
    """All rows, and each run once, those that others start from first."""

    rows: tuple[PlannedRun, ...]
    runs: Mapping[str, Run]

    @property
    def cells(self) -> list[Cell]:
        """Every cell once, in the order of the study file."""
        return list({row.cell.label: row.cell for row in self.rows if row.cell}.values())

    @cached_property
    def users(self) -> Mapping[str, list[str]]:
        """Labels of the cells that use each run, as their own or as the stage they start from."""
        users: dict[str, dict[str, None]] = {name: {} for name in self.runs}
        for row in self.rows:
            if row.cell:
                for name in filter(None, (row.run.hash, row.run.starts_from)):
                    users[name][row.cell.label] = None
        return {name: list(labels) for name, labels in users.items()}

    @cached_property
    def labels(self) -> Mapping[str, str]:
        """What each run is called: its first cell, or what it is a stage of; its seed and fold."""
        labels: dict[str, str] = {}
        for row in self.rows:
            name = row.cell.label if row.cell else f"stage of {', '.join(self.users[row.run.hash])}"
            fold = "" if row.fold is None else f" fold {row.fold}"
            labels.setdefault(row.run.hash, f"{name} seed {row.seed}{fold}")
        return labels

    @cached_property
    def _groups(self) -> Mapping[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for row in self.rows:
            if row.cell:
                groups.setdefault(row.cell.label, []).append(row.run.hash)
        return groups

    def groups(self, name: str) -> list[list[str]]:
        """The runs of each cell that has this run as its own; of a mere stage, itself."""
        return [group for label in self.users[name] if name in (group := self._groups[label])] or [
            [name]
        ]

    def of_arms(self, arms: Collection[str]) -> set[str]:
        """The runs of some arms, with those that they start from; none named: all."""
        if not arms:
            return set(self.runs)
        own = {row.run.hash for row in self.rows if row.cell and row.cell.arm in arms}
        return own | {start for name in own if (start := self.runs[name].starts_from)}

    def own_steps(self, name: str) -> int:
        """Optimisation steps of the run's own stage."""
        run = self.runs[name]
        return run.steps - (self.runs[run.starts_from].steps if run.starts_from else 0)

    def states(self, folder: Path) -> dict[str, str]:
        """Each run's state, from the run folders."""
        return {name: run_folder(folder, name).state() for name in self.runs}

    def cells_table(self) -> tuple[list[str], list[dict[str, Any]]]:
        """Columns and rows of cells.csv."""
        keys = list(dict.fromkeys(key for cell in self.cells for key in cell.varied))
        columns = ["cell", "arm", *keys, "seed", "fold", "hash", "starts_from", "steps"]
        rows = [
            {
                "cell": row.cell.label if row.cell else None,
                "arm": row.cell.arm if row.cell else None,
                **({k: plain(v) for k, v in row.cell.varied.items()} if row.cell else {}),
                "seed": row.seed,
                "fold": row.fold,
                "hash": row.run.hash,
                "starts_from": row.run.starts_from,
                "steps": row.run.steps,
            }
            for row in self.rows
        ]
        return columns, rows


def build_design(study: StudyConfig, cells: list[Cell], data: StudyData) -> Design:
    """The rows of every cell, seed and fold, and their runs in an order that can be computed."""
    rows: list[PlannedRun] = []
    runs: dict[str, Run] = {}
    folds = list(range(study.data.folds)) if study.data.folds else [None]
    for cell, fold, seed in itertools.product(cells, folds, study.seeds):
        runs_of_cell = chain(study, cell.config, data, seed, fold)
        runs |= {run.hash: run for run in runs_of_cell}
        rows.append(PlannedRun(cell, seed, fold, runs_of_cell[-1]))
    named = {row.run.hash for row in rows}
    rows += [
        PlannedRun(None, run.config["seed"], run.config["fold"], run)
        for run in runs.values()
        if run.hash not in named
    ]
    ordered = sorted(runs.values(), key=lambda run: len(run.config["stages"]))
    return Design(tuple(rows), {run.hash: run for run in ordered})


def chain(
    study: StudyConfig,
    config: RunConfig,
    data: StudyData,
    seed: int,
    fold: int | None,
    **extra: Any,
) -> list[Run]:
    """A run per stage of the strategy, each starting from the one before.

    `extra` keys go into each run's hashed configuration: `predict = ["val"]` keeps a search's
    trials from the test cases.
    """
    stages = STRATEGIES[config.strategy](config)
    per_epoch = data.steps_per_epoch(config.optim.batch_size, fold)
    runs: list[Run] = []
    steps = 0
    ranks, mode = study.resources.gpus_per_run, study.resources.compile
    for end, stage in enumerate(stages, start=1):
        steps += stage.total_steps(per_epoch)
        runs.append(
            Run(
                {
                    "schema": SCHEMA,
                    "data": data.identity,
                    "split": data.split_identity,
                    "seed": seed,
                    "fold": fold,
                    "threads": study.resources.threads,
                    **({"gpus_per_run": ranks} if ranks > 1 else {}),
                    **({"compile": mode} if mode in ("default", "reduce-overhead") else {}),
                    **extra,
                    **_used(config, stage),
                    "stages": [asdict(s) for s in stages[:end]],
                    "starts_from": runs[-1].hash if runs else None,
                },
                steps,
                stage.total_epochs(per_epoch),
                weights_file(config.model.weights),
            )
        )
    return runs


def _used(config: RunConfig, stage: Stage) -> dict[str, Any]:
    """The keys that shape a stage: λ lies in its weights, L_seg's keys count where L_seg does."""
    values = config.model_dump(mode="json", by_alias=True, include={"model", "optim", "augment"})
    loss = config.loss.model_dump(
        mode="json", include={"segmentation", "class_weights", "target_stride"}
    )
    values["model"]["weights"] = weights_identity(config.model.weights)
    return values | {"loss": loss if stage.seg_weight else {}}
