"""The runs of a study: which are complete and whole, and what they predicted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mtlbench.analysis import Findings, load_findings
from mtlbench.records import RunFolder, file_sha256, run_folder
from mtlbench.report import files

NEEDED = ("predictions.csv", "history.csv")
"""What a report reads of every run; weights and panels may be gone."""
FINDINGS = ("lesions.csv", "candidates.csv")
"""What it reads where it is there: older runs have none."""


@dataclass(frozen=True, slots=True)
class Run:
    """A complete run as one cell names it; `steps` are those of its whole chain."""

    seed: int
    fold: int | None
    steps: int
    folder: RunFolder
    before: RunFolder | None
    """The run whose weights this one starts from."""
    record: Mapping[str, Any]
    config: Mapping[str, Any]

    def history(self) -> pd.DataFrame:
        """The run's own epochs; `step` counts those of the chain before it too."""
        history = files.history(self.folder.path / "history.csv")
        return history.assign(step=history["step"] + self.steps - int(self.record["steps"]))

    @property
    def marks(self) -> dict[str, int]:
        """The columns that tell its rows from those of the cell's other runs."""
        return {"seed": self.seed} if self.fold is None else {"seed": self.seed, "fold": self.fold}


def read_run(folder: Path, row: Mapping[str, str]) -> Run | None:
    """Give the run that a row of `cells.csv` names; None where it is not complete and whole."""
    run = run_folder(folder, row["hash"])
    if not is_whole(run):
        return None
    before = run_folder(folder, row["starts_from"]) if row["starts_from"] else None
    seed, steps = (files.whole(row, name, folder / "cells.csv") for name in ("seed", "steps"))
    fold = files.whole(row, "fold", folder / "cells.csv") if row["fold"] else None
    config = files.json_object(run.path / "config.json", files.CONFIG)
    return Run(seed, fold, steps, run, before, _record(run), config)


def is_whole(run: RunFolder) -> bool:
    """Whether the run is complete and what the report reads is as the run wrote it."""
    return _record(run).get("state") == "complete" and not any(_faults(run))


def damaged(folder: Path, name: str) -> Iterator[str]:
    """A line for each file of a complete run that is gone, or other than its record says."""
    run = run_folder(folder, name)
    if _record(run).get("state") == "complete":
        for file, fault in _faults(run):
            yield f"runs/{name}/{file} {fault}: the run is left out"


def _faults(run: RunFolder) -> Iterator[tuple[str, str]]:
    written = _record(run)["files"]
    for name in (*NEEDED, *(name for name in FINDINGS if name in written)):
        path, entry = run.path / name, written[name]
        if not path.is_file():
            yield name, "is missing"
        elif path.stat().st_size != entry["bytes"] or file_sha256(path) != entry["sha256"]:
            yield name, "is not what the run wrote (its size or SHA-256 in record.json)"


def _record(run: RunFolder) -> dict[str, Any]:
    """The run's record; empty where it has not begun."""
    path = run.path / "record.json"
    if not path.exists():
        return {}
    record = files.json_object(path)
    return files.json_object(path, files.RECORD) if record.get("state") == "complete" else record


def predictions(pairs: list[tuple[Run, RunFolder]]) -> pd.DataFrame:
    """Test predictions in each folder, with the seed (and fold) of the run beside it."""
    frames = [
        files.predictions(folder.path / "predictions.csv").assign(**run.marks)
        for run, folder in pairs
    ]
    return pd.concat(frames, ignore_index=True)


def findings(runs: Sequence[Run]) -> Findings | None:
    """Lesions and candidates of all runs, marked likewise; None where a run has none."""
    found = [(run, load_findings(run.folder.path / "predictions.csv")) for run in runs]
    parts = [(run, part) for run, part in found if part is not None]
    if len(parts) < len(found):
        return None
    return Findings(
        pd.concat([part.lesions.assign(**run.marks) for run, part in parts]),
        pd.concat([part.candidates.assign(**run.marks) for run, part in parts]),
    )
