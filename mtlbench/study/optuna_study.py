"""The Optuna study: an index of the run folders, which are the truth.

One trial per run that has begun. Its two values are the validation AUC and the validation Dice of
the lesions; a task that an arm does not train counts as no prediction at all: AUC 0.5, Dice 0.
"""

import warnings
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from mtlbench.records import run_folder
from mtlbench.study import optuna_trials
from mtlbench.study.design import Design, PlannedRun
from mtlbench.study.optuna_storage import open_study
from mtlbench.study.search.space import plain

UNINFORMED = {"auc": 0.5, "dice_lesions": 0.0}
"""The validation metrics that are a trial's values, and what a model that says nothing scores."""


class Store:
    """The trials of a design, written by the one driver and never read for a decision."""

    def __init__(self, url: str, name: str, design: Design, folder: Path) -> None:
        """Open or make the store and bring it in line with the run folders below `folder`."""
        self._folder = folder
        self._design = design
        self._rows = _rows_by_run(design)
        self._space = _space(design)
        self._study = open_study(url, name, ["maximize"] * len(UNINFORMED), self._fits, folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.set_metric_names([f"validation {metric}" for metric in UNINFORMED])
        self._open: dict[str, int] = {}
        """Trials of runs that are being computed, by their keys in the storage."""
        self._reconcile()

    def begun(self, name: str) -> None:
        """Show a run as running."""
        if name not in self._open:
            self._open[name] = self._add(name, TrialState.RUNNING)

    def ended(self, name: str) -> None:
        """Close a run's trial by what its folder says: complete, or failed."""
        if name not in self._open:
            return
        state, record = run_folder(self._folder, name).look()
        if state == "complete":
            optuna_trials.close(self._study, self._open.pop(name), _values(record["validation"]))
        else:
            optuna_trials.close(self._study, self._open.pop(name), None)

    def _reconcile(self) -> None:
        """Take over the trials that a dead driver left open; add what is complete and absent."""
        done: set[str] = set()
        for trial in self._study.get_trials(deepcopy=False):
            name = str(trial.user_attrs.get("run"))
            if trial.state == TrialState.COMPLETE:
                done.add(name)
            elif trial.state == TrialState.RUNNING and name in self._rows:
                self._open[name] = optuna_trials.key_of(trial)
            elif trial.state == TrialState.RUNNING:
                optuna_trials.close(self._study, optuna_trials.key_of(trial), None)
        for name, state in self._design.states(self._folder).items():
            if state == "complete" and name in self._open:
                self.ended(name)
            elif state == "complete" and name not in done:
                self._add(name, TrialState.COMPLETE)

    def _add(self, name: str, state: TrialState) -> int:
        return optuna_trials.add(self._study, self._trial(name, state))

    def _fits(self, trial: FrozenTrial) -> bool:
        """What a user has queued waits for ever, and is nobody's result."""
        return trial.distributions == self._space or trial.state == TrialState.WAITING

    def _trial(self, name: str, state: TrialState) -> FrozenTrial:
        params = dict.fromkeys(self._space, "-") | _coordinates(self._rows[name])
        is_complete = state == TrialState.COMPLETE
        record = run_folder(self._folder, name).record() if is_complete else {}
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


def _rows_by_run(design: Design) -> dict[str, PlannedRun]:
    """The first row that names each run."""
    rows: dict[str, PlannedRun] = {}
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


def _coordinates(row: PlannedRun) -> dict[str, Any]:
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
        for metric, default in UNINFORMED.items()
    ]
