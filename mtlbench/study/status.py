"""What a study's plan and status say: one table of runs, from files alone."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mtlbench.errors import DataError, StudyError
from mtlbench.records import CELLS, MODEL, RunFolder, State, read_csv, run_folder

TRIALS = ("arm", "trial", "state", "runs")
"""Columns that every trials.csv has; between them are keys and objectives."""
PARTLY = "partly here"
"""What people read of a pending run whose record is complete: weights and pixels do not travel."""


def plan(rows: Iterable[Mapping[str, Any]], folder: Path) -> dict[str, Any]:
    """Counts and a row per line of cells.csv, as `study plan --json` prints them.

    `shares` of a row lists the other cells that use its run, as their own or as the stage that
    they start from; `lacking` the files of a complete run that are not here. `trials` counts what
    each arm's search has asked, by state.
    """
    lines = list(rows)
    runs = {row["hash"]: found(run_folder(folder, row["hash"])) for row in lines}
    users: dict[str, dict[str, None]] = {name: {} for name in runs}
    for row in lines:
        for name in filter(None, (row["hash"], row["starts_from"])):
            if row["cell"]:
                users[name][row["cell"]] = None
    counts = Counter(state for state, *_ in runs.values())
    return {
        "cells": len({row["cell"] for row in lines if row["cell"]}),
        "runs": len(runs),
        "done": counts["complete"],
        "shared": sum(len(cells) > 1 for cells in users.values()),
        "running": counts["running"],
        "failed": counts["failed"],
        "interrupted": counts["interrupted"],
        "trials": count_trials(folder),
        "rows": [_row(row, *runs[row["hash"]], list(users[row["hash"]])) for row in lines],
    }


def found(run: RunFolder) -> tuple[State, Mapping[str, Any], list[str]]:
    """A run's state as the next `study run` takes it, its record, and which files it lacks.

    Weights alone do not count: without them a run stays complete (see `study/weights.py`). Files
    that were written since are not read: `study run` does, and may find them damaged.
    """
    state, record = run.look()
    lacking = run.lacking(record) if record.get("state") == "complete" else []
    return "complete" if lacking == [MODEL] else state, record, lacking


def status(folder: Path) -> dict[str, Any]:
    """The same, read from a results folder.

    Raises:
        StudyError: the folder holds no study.
        DataError: its cells.csv or trials.csv is damaged.
    """
    if not (folder / "cells.csv").is_file():
        raise StudyError(f"{folder}: must be the results folder of a study, with a cells.csv")
    return plan(read_cells(folder), folder)


def read_cells(folder: Path) -> list[dict[str, str]]:
    """The rows of cells.csv; none where there is no such file.

    Raises:
        DataError: it is damaged.
    """
    path = folder / "cells.csv"
    try:
        rows = read_csv(path, CELLS) if path.is_file() else []
        for line, row in enumerate(rows, start=2):
            if not (row["seed"].isdecimal() and row["steps"].isdecimal()):
                raise DataError(f"{path}: line {line}: seed and steps must be whole numbers")
    except DataError as error:
        raise DataError(f"{error}; delete the file, and `study run` makes it again") from None
    return rows


def read_trials(folder: Path) -> list[dict[str, str]]:
    """The rows of trials.csv; none where there is no such file.

    Raises:
        DataError: it is damaged.
    """
    path = folder / "trials.csv"
    return read_csv(path, TRIALS) if path.is_file() else []


def count_trials(folder: Path) -> dict[str, dict[str, int]]:
    """Of each arm that is searched, its trials by state; empty where nothing is searched."""
    counts: dict[str, Counter[str]] = {}
    for row in read_trials(folder):
        counts.setdefault(row["arm"], Counter())[row["state"]] += 1
    return {arm: dict(states) for arm, states in counts.items()}


def partly_here(plan: Mapping[str, Any]) -> str | None:
    """What to say of complete runs of which not all files are here; None where there are none."""
    rows = {row["hash"]: row for row in plan["rows"] if row["state"] == "pending"}
    lacking = dict.fromkeys(name for row in rows.values() for name in row["lacking"])
    runs = sum(bool(row["lacking"]) for row in rows.values())
    if not runs:
        return None
    return (
        f"{runs} {PARTLY}: computed before, but without {', '.join(lacking)}; "
        "`study report` draws what is here, `study run` computes them again"
    )


def by_cell(plan: Mapping[str, Any]) -> list[dict[str, str]]:
    """The rows of a plan gathered by cell, for the screen."""
    cells: dict[str, list[Mapping[str, Any]]] = {}
    for row in plan["rows"]:
        cells.setdefault(row["cell"] or "(a stage)", []).append(row)
    return [
        {
            "cell": cell,
            "runs": str(len(rows)),
            "state": _states(rows),
            "steps": _range([row["steps"] for row in rows]),
            "shared with": ", ".join(dict.fromkeys(c for row in rows for c in row["shares"])),
        }
        for cell, rows in cells.items()
    ]


def _row(
    row: Mapping[str, Any],
    state: State,
    record: Mapping[str, Any],
    lacking: list[str],
    cells: list[str],
) -> dict[str, Any]:
    return {
        "arm": row["arm"] or "",
        "cell": row["cell"] or "",
        "hash": row["hash"],
        "seed": int(row["seed"]),
        "fold": None if row["fold"] in (None, "") else int(row["fold"]),
        "state": state,
        "shares": [cell for cell in cells if cell != row["cell"]],
        "steps": int(row["steps"]),
        "attempts": record.get("attempts", 0),
        "error": record.get("error"),
        "lacking": lacking,
    }


def _states(rows: list[Mapping[str, Any]]) -> str:
    counts = Counter(
        PARTLY if row["state"] == "pending" and row["lacking"] else str(row["state"])
        for row in rows
    )
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"
