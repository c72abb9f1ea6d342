"""From a study file to its design table: cells, and the runs that fill them.

A cell is an arm at one point of its swept values; a run is a cell with one seed and fold, named by
the hash of everything that shapes its result. Cells with the same configuration share a run, and
so do strategies with the same first stage.
"""

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mtlbench.config import SCHEMA, Arm, RunConfig, StudyConfig, faults
from mtlbench.errors import StudyError
from mtlbench.records import RunFolder, canonical_json, digest
from mtlbench.study.data import StudyData
from mtlbench.study.names import check_names, check_study
from mtlbench.training.strategies import STRATEGIES, Stage


@dataclass(frozen=True, slots=True)
class Cell:
    """A row of the full table: an arm, its swept values, and the configuration they make."""

    arm: str
    set: Mapping[str, Any]
    varied: Mapping[str, Any]
    config: RunConfig

    @property
    def label(self) -> str:
        """`arm`, or `arm [key=value, ...]` for a swept point."""
        values = ", ".join(f"{key}={plain(value)}" for key, value in self.varied.items())
        return f"{self.arm} [{values}]" if values else self.arm

    def place(self, key: str) -> str:
        """Where the study file says `key`: under the arm, else for all arms."""
        return _place(key, self.arm, self.set, self.varied)


@dataclass(frozen=True, slots=True)
class Run:
    """One training: its configuration, as hashed, and the optimisation steps of its whole chain."""

    config: Mapping[str, Any]
    steps: int

    @property
    def hash(self) -> str:
        """The run's name."""
        return digest(self.config)

    @property
    def starts_from(self) -> str | None:
        """The run whose weights this one starts from."""
        start: str | None = self.config["starts_from"]
        return start


@dataclass(frozen=True, slots=True)
class Row:
    """A line of cells.csv: which run fills a cell for a seed and fold; no cell: a shared stage."""

    cell: Cell | None
    seed: int
    fold: int | None
    run: Run


@dataclass(frozen=True, slots=True)
class Design:
    """All rows, and each run once, those that others start from first."""

    rows: tuple[Row, ...]
    runs: Mapping[str, Run]

    @property
    def cells(self) -> list[Cell]:
        """Every cell once, in the order of the study file."""
        return list({row.cell.label: row.cell for row in self.rows if row.cell}.values())

    def users(self, name: str) -> list[str]:
        """Labels of the cells that use a run, as their own or as the stage they start from."""
        starts = {run.hash for run in self.runs.values() if run.starts_from == name} | {name}
        return list(
            dict.fromkeys(r.cell.label for r in self.rows if r.cell and r.run.hash in starts)
        )

    def states(self, folder: Path) -> dict[str, str]:
        """Each run's state, from the run folders."""
        return {name: RunFolder(folder / "runs" / name).state() for name in self.runs}

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


def expand(study: StudyConfig, source: str = "study") -> list[Cell]:
    """Every cell of a study, validated.

    Raises:
        StudyError: one line per fault, with the dotted key it stands under.
    """
    cells: list[Cell] = []
    errors: list[str] = []
    for arm in study.arms:
        for values in itertools.product(*arm.vary.values()):
            varied = dict(zip(arm.vary, values, strict=True))
            try:
                cells.append(Cell(arm.name, arm.set, varied, _resolve(study, arm, varied)))
                STRATEGIES.get(cells[-1].config.strategy, _unknown)(cells[-1].config)
            except StudyError as error:
                errors += str(error).splitlines()
    errors += check_study(study)
    for cell in cells:
        errors += [f"{cell.place(key)}: {fault}" for key, fault in check_names(cell.config)]
    if errors:
        raise StudyError("\n".join(f"{source}: {line}" for line in dict.fromkeys(errors)))
    return cells


def build_design(study: StudyConfig, cells: list[Cell], data: StudyData) -> Design:
    """The rows of every cell, seed and fold, and their runs in an order that can be computed."""
    rows: list[Row] = []
    runs: dict[str, Run] = {}
    folds = list(range(study.data.folds)) if study.data.folds else [None]
    for cell, fold, seed in itertools.product(cells, folds, study.seeds):
        chain = _chain(study, cell.config, data, seed, fold)
        runs |= {run.hash: run for run in chain}
        rows.append(Row(cell, seed, fold, chain[-1]))
    named = {row.run.hash for row in rows}
    rows += [
        Row(None, run.config["seed"], run.config["fold"], run)
        for run in runs.values()
        if run.hash not in named
    ]
    ordered = sorted(runs.values(), key=lambda run: len(run.config["stages"]))
    return Design(tuple(rows), {run.hash: run for run in ordered})


def plain(value: object) -> str:
    """A swept value as a label: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else canonical_json(value)


def _resolve(study: StudyConfig, arm: Arm, varied: Mapping[str, Any]) -> RunConfig:
    """`[base]` and `[budget]`, with the arm's `set` and one point of its `vary` on top."""
    if "budget" in study.base:
        raise StudyError("base.budget: unknown key: the budget is [budget], for all arms")
    values = _flatten(study.base) | _flatten({"budget": study.budget.model_dump(exclude_none=True)})
    own = {**_flatten(arm.set), **varied}
    try:
        return RunConfig.model_validate(_nest(values | own))
    except ValidationError as error:
        lines = (line.partition(": ") for line in faults(error))
        places = (f"{_place(key, arm.name, arm.set, varied)}: {fault}" for key, _, fault in lines)
        raise StudyError("\n".join(places)) from None


def _place(key: str, arm: str, set_: Mapping[str, Any], varied: Mapping[str, Any]) -> str:
    """The dotted key under which the study file says `key`, or a part of it."""
    for group, keys in (("vary", varied), ("set", _flatten(set_))):
        for own in keys:
            if own == key or own.startswith(f"{key}.") or key.startswith(f"{own}."):
                return f"arms.{arm}.{group}.{max(own, key, key=len)}"
    return key if key.startswith("budget") else f"base.{key}"


def _unknown(config: RunConfig) -> tuple[Stage, ...]:
    """A strategy of a name that `check_names` reports."""
    return ()


def _chain(
    study: StudyConfig, config: RunConfig, data: StudyData, seed: int, fold: int | None
) -> list[Run]:
    """A run per stage of the strategy, each starting from the one before."""
    stages = STRATEGIES[config.strategy](config)
    runs: list[Run] = []
    steps = 0
    for end, stage in enumerate(stages, start=1):
        steps += stage.total_steps(data.steps_per_epoch(config.optim.batch_size, fold))
        runs.append(
            Run(
                {
                    "schema": SCHEMA,
                    "data": data.identity,
                    "split": data.split_identity,
                    "seed": seed,
                    "fold": fold,
                    "threads": study.resources.threads,
                    **_used(config, stage),
                    "stages": [asdict(s) for s in stages[:end]],
                    "starts_from": runs[-1].hash if runs else None,
                },
                steps,
            )
        )
    return runs


def _used(config: RunConfig, stage: Stage) -> dict[str, Any]:
    """The keys that shape a stage: λ lies in its weights, L_seg's keys count where L_seg does."""
    values = config.model_dump(mode="json", by_alias=True, include={"model", "optim", "augment"})
    loss = config.loss.model_dump(mode="json", include={"segmentation", "class_weights"})
    return values | {"loss": loss if stage.seg_weight else {}}


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables and dotted keys alike become dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for dotted, value in flat.items():
        *parents, last = dotted.split(".")
        table = nested
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise StudyError(f"{dotted}: unknown key")
        table[last] = value
    return nested
