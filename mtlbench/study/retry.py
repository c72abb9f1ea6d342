"""Runs that failed: when they are given up, and how they get another chance."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtlbench.errors import BusyError, StudyError
from mtlbench.records import RunFolder


def given_up(record: Mapping[str, Any], retries: int) -> bool:
    """Whether a failed run is not tried again: often enough, or it would fail the same way."""
    return bool(record.get("final")) or record.get("failures", 0) > retries


def forgive(folder: Path) -> list[str]:
    """Let every failed run of a study be tried as if it never had been; give their names.

    Raises:
        StudyError: the folder holds no study.
        BusyError: a process is computing one of the runs.
    """
    if not (folder / "cells.csv").is_file():
        raise StudyError(f"{folder}: must be the results folder of a study, with a cells.csv")
    names = []
    for path in sorted((folder / "runs").glob("*/record.json")):
        run = RunFolder(path.parent)
        if run.state() == "running":
            raise BusyError(f"{run.path}: is being computed; wait for it, or stop the driver")
        record = run.record()
        if record.get("state") == "failed":
            run.write_record(record | {"state": "interrupted", "failures": 0, "final": False})
            names.append(run.name)
    return names
