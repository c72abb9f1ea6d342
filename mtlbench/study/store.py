"""The Optuna study: an index of the run folders, which are the truth.

One trial per run. Its two values are the validation AUC and the validation Dice of the lesions; a
task that an arm does not train counts as no prediction at all: AUC 0.5, Dice 0.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import DatabaseError

from mtlbench.records import RunFolder
from mtlbench.study.design import Design, Row, plain

METRICS = {"auc": 0.5, "dice_lesions": 0.0}
"""Validation metrics of a trial, and what stands for one that is not defined."""


class Store:
    """Trials of a study, asked and told by the one driver."""

    def __init__(self, path: Path, name: str, design: Design) -> None:
        """Open or make the SQLite store and bring it in line with the run folders."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._folder = path.parent
        self._design = design
        self._rows = _rows_by_run(design)
        self._space = _space(design)
        self._study = _open(path, name, self._space)
        self._reconcile()

    def ask(self) -> tuple[int, str] | None:
        """The next queued trial's number and the run it stands for; None when none waits.

        A queued trial whose run is complete by now, or no longer in the study, is closed.
        """
        while self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            trial = self._study.ask(self._space)
            name = str(trial.user_attrs["run"])
            if name in self._rows and RunFolder(self._folder / "runs" / name).state() != "complete":
                return trial.number, name
            self._study.tell(trial.number, state=TrialState.FAIL)
        return None

    def tell(self, number: int, name: str) -> None:
        """Close a trial by what its run folder says: complete, or failed."""
        folder = RunFolder(self._folder / "runs" / name)
        if folder.state() == "complete":
            self._study.tell(number, _values(folder.record()["validation"]))
        else:
            self._study.tell(number, state=TrialState.FAIL)

    def enqueue(self, name: str) -> None:
        """Put a run in the queue."""
        self._study.enqueue_trial(self._params(name), user_attrs=self._attributes(name))

    def _reconcile(self) -> None:
        """Close the trials a dead driver left running; queue or add each run that has none."""
        for trial in self._trials(TrialState.RUNNING):
            self.tell(trial.number, trial.user_attrs["run"])
        done = {trial.user_attrs["run"] for trial in self._trials(TrialState.COMPLETE)}
        waiting = {trial.user_attrs["run"] for trial in self._trials(TrialState.WAITING)}
        for name, state in self._design.states(self._folder).items():
            if state == "complete" and name not in done:
                self._study.add_trial(self._finished(name))
            elif state != "complete" and name not in waiting:
                self.enqueue(name)

    def _trials(self, state: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=(state,))

    def _finished(self, name: str) -> FrozenTrial:
        record = RunFolder(self._folder / "runs" / name).record()
        params = self._params(name)
        return create_trial(
            values=_values(record["validation"]),
            params=params,
            distributions={key: self._space[key] for key in params},
            user_attrs=self._attributes(name),
        )

    def _params(self, name: str) -> dict[str, Any]:
        return _params(self._rows[name], self._space)

    def _attributes(self, name: str) -> dict[str, Any]:
        run = self._design.runs[name]
        return {
            "run": name,
            "folder": f"runs/{name}",
            "cells": self._design.users(name),
            "steps": run.steps,
            "starts_from": run.starts_from,
        }


def _open(path: Path, name: str, space: Mapping[str, BaseDistribution]) -> optuna.Study:
    """The study of that name; made anew where it is damaged or its trials are of another design."""
    url = f"sqlite:///{path}"
    try:
        study = _create(url, name)
    except DatabaseError:
        path.replace(path.with_name(f"{path.name}.damaged"))
        study = _create(url, name)
    for trial in study.get_trials(deepcopy=False):
        if trial.distributions and trial.distributions != space:
            optuna.delete_study(study_name=name, storage=url)
            return _create(url, name)
    return study


def _create(url: str, name: str) -> optuna.Study:
    study = optuna.create_study(
        storage=url,
        study_name=name,
        directions=["maximize"] * len(METRICS),
        sampler=optuna.samplers.RandomSampler(seed=0),
        load_if_exists=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([f"validation {metric}" for metric in METRICS])
    return study


def _rows_by_run(design: Design) -> dict[str, Row]:
    """The first row that names each run."""
    rows: dict[str, Row] = {}
    for row in design.rows:
        rows.setdefault(row.run.hash, row)
    return rows


def _space(design: Design) -> dict[str, BaseDistribution]:
    """Every coordinate of the design as a categorical; `-` where a row has none."""
    columns: dict[str, dict[Any, None]] = {}
    for row in design.rows:
        for key, value in _coordinates(row).items():
            columns.setdefault(key, {"-": None} if key not in ("arm", "seed") else {})[value] = None
    return {key: CategoricalDistribution(list(values)) for key, values in columns.items()}


def _coordinates(row: Row) -> dict[str, Any]:
    varied = row.cell.varied if row.cell else {}
    values = {
        key: value if isinstance(value, str | int | float | bool) else plain(value)
        for key, value in varied.items()
    }
    fold = {} if row.fold is None else {"fold": row.fold}
    return {"arm": row.cell.arm if row.cell else "(stage)", "seed": row.seed} | fold | values


def _params(row: Row, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    return dict.fromkeys(space, "-") | _coordinates(row)


def _values(validation: Mapping[str, float | None]) -> list[float]:
    return [
        default if (value := validation[metric]) is None else value
        for metric, default in METRICS.items()
    ]
