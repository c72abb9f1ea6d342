"""A study being run: its file read, its data prepared, its design laid out, its runs computed."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress as Bars

from mtlbench.config import StudyConfig, load_study
from mtlbench.errors import StudyError
from mtlbench.records import RunFolder, atomic_path, write_csv, write_json, write_text
from mtlbench.study.data import StudyData, load_data
from mtlbench.study.design import Design, build_design, expand
from mtlbench.study.driver import Driver, hold
from mtlbench.study.executors import EXECUTORS
from mtlbench.study.progress import LiveProgress, PlainProgress
from mtlbench.study.store import Store


@dataclass(frozen=True, slots=True)
class Session:
    """Everything known of a study before its first run."""

    source: Path
    study: StudyConfig
    data: StudyData
    design: Design
    folder: Path
    """results/<study>."""


def open_session(
    source: Path, results: Path, places: Mapping[str, Path], console: Console
) -> Session:
    """Validate a study file, prepare its data, lay out its design. Nothing is written to results.

    Raises:
        StudyError: the study file is wrong; every fault with its dotted key.
        DataError: the data are wrong.
    """
    study = load_study(source)
    cells = expand(study, str(source))
    with Bars(console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task(f"preparing {study.dataset}", total=None)
        data = load_data(
            study, places, os.cpu_count() or 1,
            lambda done, total: bars.update(bar, completed=done, total=total),
        )  # fmt: skip
    return Session(source, study, data, build_design(study, cells, data), results / study.name)


def drive(session: Session, devices: list[str], executor: str, console: Console) -> dict[str, str]:
    """Compute what the study lacks; return the runs that failed, with their reasons.

    Raises:
        BusyError: another driver holds the study.
    """
    with hold(session.folder):
        _write_study(session)
        for name in session.design.runs:
            RunFolder(session.folder / "runs" / name).reopen_if_damaged()
        states = session.design.states(session.folder)
        missing = sum(state != "complete" for state in states.values())
        if not missing:
            return {}
        workers = EXECUTORS[executor](devices[:missing])
        style = LiveProgress if console.is_terminal else PlainProgress
        progress = style(console, session.design, states)
        try:
            store = Store(session.folder / "optuna.db", session.study.name, session.design)
            return Driver(
                session.folder,
                session.design,
                session.data,
                store,
                workers,
                progress,
                session.study.resources,
            ).run()
        finally:
            workers.close()
            if isinstance(progress, LiveProgress):
                progress.close()


def choose_devices(device: str, jobs: int | None, threads: int) -> list[str]:
    """A device per worker: all GPUs, one run each, or a CPU's cores by threads.

    Raises:
        StudyError: the device does not exist on this machine.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return ["cpu"] * (jobs or max(1, (os.cpu_count() or 1) // threads))
    count = torch.cuda.device_count()
    known = [f"cuda:{index}" for index in range(count)]
    wanted = known if device == "cuda" else [device]
    if not wanted or not set(wanted) <= set(known):
        raise StudyError(f"--device must be auto, cpu or one of {known}, but got {device!r}")
    return [wanted[index % len(wanted)] for index in range(jobs or len(wanted))]


def _write_study(session: Session) -> None:
    """The files of a results folder that say what the study is."""
    folder = session.folder
    write_text(folder / "study.toml", session.source.read_text(encoding="utf-8"))
    write_json(folder / "recipe.json", session.data.prepared.recipe)
    with atomic_path(folder / "cases.csv") as temporary:
        session.data.cases.to_csv(temporary, index=False, lineterminator="\n")
    write_csv(folder / "cells.csv", *session.design.cells_table())
