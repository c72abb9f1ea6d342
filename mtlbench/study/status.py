"""What a study's plan and status say: one table of runs, from files alone."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mtlbench.errors import StudyError
from mtlbench.records import RunFolder


def plan(rows: Iterable[Mapping[str, Any]], folder: Path) -> dict[str, Any]:
    """Counts and a row per line of cells.csv, as `study plan --json` prints them.

    `shares` of a row lists the other cells that use its run, as their own or as the stage that
    they start from.
    """
    lines = list(rows)
    records = {row["hash"]: RunFolder(folder / "runs" / row["hash"]) for row in lines}
    states = {name: record.state() for name, record in records.items()}
    users: dict[str, list[str]] = {name: [] for name in records}
    for row in lines:
        for name in filter(None, (row["hash"], row["starts_from"])):
            if row["cell"] and row["cell"] not in users[name]:
                users[name].append(row["cell"])
    counts = Counter(states.values())
    return {
        "cells": len({row["cell"] for row in lines if row["cell"]}),
        "runs": len(records),
        "done": counts["complete"],
        "shared": sum(len(cells) > 1 for cells in users.values()),
        "running": counts["running"],
        "failed": counts["failed"],
        "rows": [
            {
                "arm": row["arm"] or "",
                "cell": row["cell"] or "",
                "hash": row["hash"],
                "seed": int(row["seed"]),
                "fold": None if row["fold"] in (None, "") else int(row["fold"]),
                "state": states[row["hash"]],
                "shares": [cell for cell in users[row["hash"]] if cell != row["cell"]],
                "steps": int(row["steps"]),
                "attempts": records[row["hash"]].record().get("attempts", 0),
                "error": records[row["hash"]].record().get("error"),
            }
            for row in lines
        ],
    }


def status(folder: Path) -> dict[str, Any]:
    """The same, read from a results folder.

    Raises:
        StudyError: the folder holds no study.
    """
    path = folder / "cells.csv"
    if not path.is_file():
        raise StudyError(f"{folder}: must be the results folder of a study, with a cells.csv")
    with path.open(encoding="utf-8", newline="") as stream:
        return plan(csv.DictReader(stream), folder)
