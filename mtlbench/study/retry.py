"""Runs that failed: when they are given up, and how they get another chance."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtlbench.errors import BusyError, StudyError
from mtlbench.records import RunFolder
from mtlbench.study.lock import hold


def given_up(record: Mapping[str, Any], retries: int) -> bool:
    """Whether a failed run is not tried again: often enough, or it would fail the same way."""
    deaths = record.get("deaths", {"times": 0})["times"]
    return bool(record.get("final")) or max(record.get("failures", 0), deaths) > retries


def forgive(folder: Path) -> list[str]:
    """Let every failed run of a study be tried as if it never had been; give their names.

    Raises:
        StudyError: the folder holds no study.
        BusyError: a driver holds the study, or a process is computing one of the runs.
    """
    if not (folder / "cells.csv").is_file():
        raise StudyError(f"{folder}: must be the results folder of a study, with a cells.csv")
    with hold(folder):
        runs = [RunFolder(path.parent) for path in sorted((folder / "runs").glob("*/record.json"))]
        looks = {run: run.look() for run in runs}
        for run, (state, _) in looks.items():
            if state == "running":  # a job outlives its driver
                raise BusyError(f"{run.path}: is being computed; wait until it has ended")
        failed = {run: record for run, (state, record) in looks.items() if state == "failed"}
        for run, record in failed.items():
            record.pop("deaths", None)
            run.write_record(record | {"state": "interrupted", "failures": 0, "final": False})
    return [run.name for run in failed]
