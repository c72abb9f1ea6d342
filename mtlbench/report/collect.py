"""Read a results folder into one frozen value: the study, its cells, and their whole runs.

Nothing is computed here but which runs count. A seed of a cell counts when each of its folds is
complete, so that every arm is measured on the same patients; the rest is listed as missing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from mtlbench.analysis import Findings
from mtlbench.config import StudyConfig, load_study
from mtlbench.errors import StudyError
from mtlbench.records import CELLS, trial_cell
from mtlbench.report import files, text
from mtlbench.report.runs import Run, damaged, findings, is_whole, predictions, read_run


@dataclass(frozen=True)
class Cell:
    """A row of the table: an arm at one point of its varied values, with its usable runs."""

    name: str
    arm: str
    values: Mapping[str, str]
    planned: tuple[int, ...]
    """The seeds that the design asks for."""
    runs: tuple[Run, ...]
    """Those of complete seeds only."""
    is_found: bool
    """Whether a search has found it; its name then says by which trial."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that are complete, in the design's order."""
        return tuple(dict.fromkeys(run.seed for run in self.runs))

    @property
    def label(self) -> str:
        """The name, each varied key by its last part, λ by its letter."""
        return f"{self.arm} [{self.setting}]" if self.values and not self.is_found else self.name

    @property
    def point(self) -> str:
        """The label within its arm: `trial 9`, `λ=0.3`; empty where the arm is its only cell."""
        return self.label.removeprefix(self.arm).strip(" []")

    @property
    def setting(self) -> str:
        """The varied values, `λ=0.3, lr=0.001`."""
        return ", ".join(
            f"{short_key(key)}={short_value(value)}" for key, value in self.values.items()
        )

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Test predictions of all runs, with `seed` (and `fold`): see `analysis.compare`."""
        return predictions([(run, run.folder) for run in self.runs])

    @cached_property
    def before(self) -> pd.DataFrame | None:
        """The same from the runs that these start from; None where there are none."""
        pairs = [(run, run.before) for run in self.runs if run.before is not None]
        whole = len(pairs) == len(self.runs) and all(is_whole(folder) for _, folder in pairs)
        return predictions(pairs) if pairs and whole else None

    @cached_property
    def findings(self) -> Findings | None:
        """Lesions and candidates of all runs; None where a run has none."""
        return findings(self.runs)

    @property
    def last_stage(self) -> str:
        """The name of the final stage of training."""
        return str(self.runs[0].config["stages"][-1]["name"])

    def validation(self, metric: str) -> float | None:
        """Mean over runs of `val.<metric>`; None where it was not computed."""
        values = [run.record["validation"].get(metric.removeprefix("val.")) for run in self.runs]
        return sum(values) / len(values) if values and None not in values else None


@dataclass(frozen=True)
class Study:
    """A results folder, read."""

    folder: Path
    config: StudyConfig
    cells: tuple[Cell, ...]
    """All cells of the design, also those without a complete run."""
    recipe: Mapping[str, Any]
    cases: pd.DataFrame
    trials: pd.DataFrame
    """What was searched, a row per trial of `trials.csv` and its name as a `cell`; may be empty."""
    damaged: tuple[str, ...]
    """Files of complete runs that are not as the runs wrote them; those runs do not count."""

    @property
    def complete(self) -> tuple[Cell, ...]:
        """The cells with at least one usable seed."""
        return tuple(cell for cell in self.cells if cell.runs)

    @property
    def missing(self) -> tuple[str, ...]:
        """What the design asks for and is not there, `cell (seeds 0, 1)` each."""
        gaps = {c.name: sorted(set(c.planned) - set(c.seeds)) for c in self.cells}
        return tuple(
            f"{name} (seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))})"
            for name, seeds in gaps.items()
            if seeds
        )

    @property
    def data_name(self) -> str:
        """The data set's name in prose; a folder that the study does not name has but its name."""
        named, adapter = self.config.compare.dataset, self.config.dataset
        return named or text.DATASETS.get(adapter, f"the data set of {self.config.name}")

    @property
    def varied(self) -> tuple[str, ...]:
        """The dotted keys that any arm varies, in the design's order."""
        return tuple(dict.fromkeys(key for cell in self.cells for key in cell.values))

    @cached_property
    def same_runs(self) -> Mapping[str, str]:
        """Name of each complete cell → the first cell of the very same runs, mostly itself."""
        first: dict[tuple[str, ...], str] = {}
        return {
            cell.name: first.setdefault(tuple(run.folder.name for run in cell.runs), cell.name)
            for cell in self.complete
        }

    def trial(self, cell: Cell) -> Mapping[str, str] | None:
        """The row of `trials.csv` of a cell that a search has found."""
        rows = self.trials[self.trials["cell"] == cell.name].to_dict("records")
        return {str(key): value for key, value in rows[0].items()} if rows else None

    def of_arm(self, arm: str) -> tuple[Cell, ...]:
        """The arm's cells with a usable seed."""
        return tuple(cell for cell in self.complete if cell.arm == arm)

    def representative(self, arm: str) -> Cell | None:
        """The cell that stands for its arm: the only one, or the one that validation chooses."""
        cells, choose = self.of_arm(arm), self.config.compare.choose
        if sum(cell.arm == arm for cell in self.cells) == 1:
            return cells[0] if cells else None
        scores = {cell.name: cell.validation(choose) for cell in cells} if choose else {}
        scored = [cell for cell in cells if scores.get(cell.name) is not None]
        return max(scored, key=lambda cell: scores[cell.name] or 0.0, default=None)

    def is_chosen(self, cell: Cell) -> bool:
        """Whether a validation metric chose this cell among others of its arm."""
        others = sum(other.arm == cell.arm for other in self.cells) > 1
        return others and bool(cell.values) and self.representative(cell.arm) is cell

    @cached_property
    def shown(self) -> tuple[Cell, ...]:
        """One cell per arm where one stands for it, else all the arm's cells."""
        rows: list[Cell] = []
        for arm in self.config.arms:
            chosen = self.representative(arm.name)
            rows += self.of_arm(arm.name) if chosen is None else [chosen]
        return tuple(rows)


def short_key(key: str) -> str:
    """`loss.lambda` → `λ`, `model.backbone` → `backbone`."""
    last = key.rpartition(".")[2]
    return "λ" if key == "loss.lambda" else last


def short_value(value: str) -> str:
    """A number that a search drew to four significant digits; anything else as it is."""
    try:
        short = f"{float(value):.4g}"
    except ValueError:
        return value
    return short if len(short) < len(value) else value


def read_study(folder: Path) -> Study:
    """Read `results/<study>`.

    Raises:
        StudyError: the folder holds no study, or no run of it is complete.
        DataError: a file of it is not as it must be; the message names it.
    """
    design = _design(folder)
    config = load_study(folder / "study.toml")
    searched = {arm.name for arm in config.arms if arm.search}
    cells = tuple(_cell(folder, rows, searched) for _, rows in design.groupby("cell", sort=False))
    study = Study(
        folder,
        config,
        cells,
        files.json_object(folder / "recipe.json", ["adapter"]),
        _cases(folder),
        _trials(folder),
        tuple(line for name in design["hash"].unique() for line in damaged(folder, name)),
    )
    if not study.complete:
        raise StudyError(
            f"{folder}: a report needs at least one complete run, but none of the "
            f"{len(design)} runs in cells.csv is complete yet"
            + "".join(f"; {line}" for line in study.damaged)
        )
    return study


def _design(folder: Path) -> pd.DataFrame:
    for name in ("study.toml", "cells.csv", "recipe.json", "cases.csv"):
        if not (folder / name).is_file():
            raise StudyError(f"{folder}: a results folder must hold {name}, but it does not")
    design = files.text_table(folder / "cells.csv", CELLS)
    return design[design["arm"] != ""]


def _cases(folder: Path) -> pd.DataFrame:
    return files.text_table(folder / "cases.csv", ("patient_id", "split"))


def _trials(folder: Path) -> pd.DataFrame:
    columns = ("arm", "trial", "state")
    path = folder / "trials.csv"
    if not path.is_file():
        return pd.DataFrame(columns=(*columns, "cell"))
    trials = files.text_table(path, columns)
    return trials.assign(cell=list(map(trial_cell, trials["arm"], trials["trial"])))


def _cell(folder: Path, rows: pd.DataFrame, searched: Collection[str]) -> Cell:
    lines = [{str(key): text for key, text in row.items()} for row in rows.to_dict("records")]
    first = lines[0]
    runs = [read_run(folder, line) for line in lines]
    seeds = [files.whole(line, "seed", folder / "cells.csv") for line in lines]
    broken = {seed for seed, run in zip(seeds, runs, strict=True) if run is None}
    return Cell(
        name=first["cell"],
        arm=first["arm"],
        values={key: v for key, v in first.items() if key not in CELLS and v != ""},
        planned=tuple(dict.fromkeys(seeds)),
        runs=tuple(run for run in runs if run is not None and run.seed not in broken),
        is_found=first["arm"] in searched,
    )
