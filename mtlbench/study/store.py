"""The Optuna study: an index of the run folders, which are the truth.

One trial per run that has begun. Its two values are the validation AUC and the validation Dice of
the lesions; a task that an arm does not train counts as no prediction at all: AUC 0.5, Dice 0.
"""

import sqlite3
import warnings
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from mtlbench.errors import DiskError, StudyError
from mtlbench.records import RunFolder
from mtlbench.study.design import Design, Row
from mtlbench.study.search.space import plain

METRICS = {"auc": 0.5, "dice_lesions": 0.0}
"""Validation metrics of a trial, and what stands for one that is not defined."""
SQLITE = "sqlite:///"
DISK_FAULTS = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
LOCKED_S = 60.0
"""How long another process may hold the SQLite store."""
OWNER = "results"
"""User attribute of a study: whose it is, by its results folder."""
OWN = "this folder"
Directions = list[Literal["minimize", "maximize"]]


class Store:
    """The trials of a design, written by the one driver and never read for a decision."""

    def __init__(self, url: str, name: str, design: Design, folder: Path) -> None:
        """Open or make the store and bring it in line with the run folders below `folder`."""
        self._folder = folder
        self._design = design
        self._rows = _rows_by_run(design)
        self._space = _space(design)
        self._study = open_study(url, name, ["maximize"] * len(METRICS), self._fits, folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.set_metric_names([f"validation {metric}" for metric in METRICS])
        self._number: dict[str, int] = {}
        """Trials of runs that are being computed."""
        self._count = 0
        self._reconcile()

    def begun(self, name: str) -> None:
        """Show a run as running."""
        if name not in self._number:
            self._number[name] = self._add(name, TrialState.RUNNING)

    def ended(self, name: str) -> None:
        """Close a run's trial by what its folder says: complete, or failed."""
        if name not in self._number:
            return
        folder = RunFolder(self._folder / "runs" / name)
        number = self._number.pop(name)
        if folder.state() == "complete":
            self._study.tell(number, _values(folder.record()["validation"]))
        else:
            self._study.tell(number, state=TrialState.FAIL)

    def _reconcile(self) -> None:
        """Take over the trials that a dead driver left open; add what is complete and absent."""
        done: set[str] = set()
        trials = self._study.get_trials(deepcopy=False)
        self._count = len(trials)
        for trial in trials:
            name = str(trial.user_attrs.get("run"))
            if trial.state == TrialState.COMPLETE:
                done.add(name)
            elif trial.state == TrialState.RUNNING and name in self._rows:
                self._number[name] = trial.number
            elif trial.state == TrialState.RUNNING:
                self._study.tell(trial.number, state=TrialState.FAIL)
        for name, state in self._design.states(self._folder).items():
            if state == "complete" and name in self._number:
                self.ended(name)
            elif state == "complete" and name not in done:
                self._add(name, TrialState.COMPLETE)

    def _add(self, name: str, state: TrialState) -> int:
        """Add a trial; its number, counted here because asking for it reads them all."""
        self._study.add_trial(self._trial(name, state))
        self._count += 1
        return self._count - 1

    def _fits(self, trial: FrozenTrial) -> bool:
        return trial.distributions == self._space and trial.state != TrialState.WAITING

    def _trial(self, name: str, state: TrialState) -> FrozenTrial:
        params = dict.fromkeys(self._space, "-") | _coordinates(self._rows[name])
        is_complete = state == TrialState.COMPLETE
        record = RunFolder(self._folder / "runs" / name).record() if is_complete else {}
        run = self._design.runs[name]
        attributes = {
            "run": name,
            "folder": f"runs/{name}",
            "cells": self._design.users[name],
            "steps": run.steps,
            "starts_from": run.starts_from,
        }
        trial = create_trial(
            state=state, values=_values(record["validation"]) if is_complete else None,
            params=params, distributions=self._space, user_attrs=attributes,
        )  # fmt: skip
        if "ended" in record:
            trial.datetime_start, trial.datetime_complete = _times(record)
        return trial


def open_study(
    url: str, name: str, directions: Directions, fits: Callable[[FrozenTrial], bool], folder: Path
) -> optuna.Study:
    """The study of that name; made anew where it is damaged or holds a trial that does not fit.

    Raises:
        StudyError: the storage cannot be used, or the study in it is not of this results folder.
        DiskError: the disk is full or cannot be written, now or at any later use of the study.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    own = url == default_url(folder)
    try:
        study = _create(url, name, directions)
    except DiskError:
        raise
    except (SQLAlchemyError, ImportError, OSError) as error:
        is_damaged = isinstance(error, DatabaseError) and "locked" not in str(error)
        if not (own and is_damaged):
            reason = str(error).partition("\n")[0]
            raise StudyError(f"--store: {url}: must be an Optuna storage: {reason}") from None
        path = Path(url.removeprefix(SQLITE))
        path.replace(path.with_name(f"{path.name}.damaged"))
        study = _create(url, name, directions)
    trials = study.get_trials(deepcopy=False)
    owner = study.user_attrs.get(OWNER)
    here = OWN if own else str(folder.resolve())
    if not own and owner != here and (trials or owner):
        whose = f"the results in {owner}" if owner else "somebody else"
        raise StudyError(f"--store: {url}: holds a study {name!r} of {whose}; give ours a new name")
    if not all(fits(trial) for trial in trials):
        optuna.delete_study(study_name=name, storage=url)
        study = _create(url, name, directions)
    study.set_user_attr(OWNER, here)
    return study


def default_url(folder: Path) -> str:
    """The store in the results folder."""
    return f"{SQLITE}{folder / 'optuna.db'}"


def _create(url: str, name: str, directions: Directions) -> optuna.Study:
    is_sqlite = url.startswith(SQLITE)
    patience = {"connect_args": {"timeout": LOCKED_S}} if is_sqlite else {}
    storage = optuna.storages.RDBStorage(url, engine_kwargs=patience)
    if is_sqlite:  # an index need not survive a power cut: it is made again
        sqlalchemy.event.listen(storage.engine, "connect", _without_fsync)
        storage.engine.dispose()
    return optuna.create_study(
        storage=storage, study_name=name, directions=directions, load_if_exists=True
    )


@sqlalchemy.event.listens_for(sqlalchemy.Engine, "handle_error")
def _raise_disk_fault(context: sqlalchemy.ExceptionContext) -> None:
    """Raise DiskError where it is the disk that SQLite complains of; Optuna lets it pass."""
    error = context.original_exception
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in DISK_FAULTS:  # the low byte: the kind
        where = context.engine.url.database if context.engine else "the Optuna store"
        raise DiskError(f"{where} must be writable, but: {error}") from None


def _without_fsync(connection: Any, _: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")


def _rows_by_run(design: Design) -> dict[str, Row]:
    """The first row that names each run."""
    rows: dict[str, Row] = {}
    for row in design.rows:
        rows.setdefault(row.run.hash, row)
    return rows


def _space(design: Design) -> dict[str, BaseDistribution]:
    """The seeds, and every other coordinate as a categorical; `-` where a row has none.

    Seeds are integers: each trial carries its whole space, and a list of 10,000 would be dear.
    """
    seeds = [row.seed for row in design.rows]
    columns: dict[str, dict[Any, None]] = {}
    for row in design.rows:
        for key, value in _coordinates(row).items():
            columns.setdefault(key, {"-": None} if key != "arm" else {})[value] = None
    space: dict[str, BaseDistribution] = {
        key: CategoricalDistribution(list(values)) for key, values in columns.items()
    }
    return space | {"seed": IntDistribution(min(seeds), max(seeds))}


def _coordinates(row: Row) -> dict[str, Any]:
    varied = row.cell.varied if row.cell else {}
    values = {
        key: value if isinstance(value, str | int | float | bool) else plain(value)
        for key, value in varied.items()
    }
    fold = {} if row.fold is None else {"fold": row.fold}
    return {"arm": row.cell.arm if row.cell else "(stage)", "seed": row.seed} | fold | values


def _times(record: Mapping[str, str]) -> list[datetime]:
    """When a run's last attempt began and ended, as Optuna has times: local, without a zone."""
    times = (datetime.fromisoformat(record[key]) for key in ("started", "ended"))
    return [time.astimezone().replace(tzinfo=None) for time in times]


def _values(validation: Mapping[str, float | None]) -> list[float]:
    return [
        default if (value := validation[metric]) is None else value
        for metric, default in METRICS.items()
    ]
