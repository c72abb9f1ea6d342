"""The search of one arm: trials asked of Optuna and told to it, in an order of their own.

Trial n is asked when exactly the trials up to n - `parallel` have been told, whatever the order in
which runs end. With a sampler for each trial this makes a search a function of its study file.

What a search knows is in trials.csv and the run folders. The Optuna study is an index of it: where
it is gone, or is not what trials.csv says, it is made again, each trial asked and told as before.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mtlbench.config import Arm, StudyConfig
from mtlbench.study import optuna_trials
from mtlbench.study.cells import resolve
from mtlbench.study.data import StudyData
from mtlbench.study.design import chain
from mtlbench.study.optuna_storage import open_study
from mtlbench.study.search.importance import ImportanceRow, search_importances
from mtlbench.study.search.pruners import BelowBothMedians, Curve, Judge, OptunaJudge, Values
from mtlbench.study.search.samplers import STATEFUL, as_optuna, draw, sampler_of
from mtlbench.study.search.space import Params, plain, read_params
from mtlbench.study.search.trial import Runs, Trial

STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


class ArmSearch:
    """All trials of an arm; the first `told` of them Optuna knows the end of."""

    def __init__(self, study: StudyConfig, arm: Arm, data: StudyData, runs: Runs) -> None:
        """Nothing is known yet: `restore` and `open` come first."""
        assert study.search is not None
        self.arm = arm
        self._study, self._search, self._data, self._runs = study, study.search, data, runs
        self._name = f"{study.name}/{arm.name}"
        self._is_single = len(study.search.objectives) == 1
        self.trials: list[Trial] = []
        self._keys: list[int] = []
        """Of each trial in Optuna's storage."""
        self._told = 0

    def restore(self, row: Mapping[str, str]) -> Trial:
        """Add the next trial as its row of trials.csv says.

        Raises:
            StudyError: the study file does not allow what was tried.
        """
        trial = self._trial(read_params(self.arm, row))
        self.trials.append(trial)
        trial.state = row["state"]  # type: ignore[assignment]
        if trial.state == "complete":
            trial.values = tuple(float(row[metric]) for metric in self._search.objectives)
        return trial

    def open(self, url: str, folder: Path) -> None:
        """Open the Optuna study below `url`, and bring it in line with the trials."""
        for trial in self.trials:
            if trial.state == "failed" and self._has_another_chance(trial):
                trial.state = "running"
        directions: Any = ["maximize"] * len(self._search.objectives)
        self._optuna = open_study(url, self._name, directions, self._fits, folder)
        known = self._optuna.get_trials(deepcopy=False)
        self._keys = [optuna_trials.key_of(frozen) for frozen in known]
        self._told = sum(frozen.state.is_finished() for frozen in known)
        for trial in self.trials[len(known) :]:
            self._tell_up_to(trial.number - self._search.parallel)
            self._ask(trial)
            for instance in range(len(trial.chains) if trial.state != "running" else 0):
                if self._hear_run(trial, instance):
                    break

    @property
    def running(self) -> list[Trial]:
        """Trials under way."""
        return [trial for trial in self.trials if trial.state == "running"]

    @property
    def total(self) -> int:
        """Trials in all; what was tried stays where the study file now says fewer."""
        return max(self._search.trials, len(self.trials))

    @property
    def left(self) -> int:
        """Trials that have not been asked."""
        return self.total - len(self.trials)

    def advance(self) -> bool:
        """Ask and tell as far as the order allows; return whether anything was asked."""
        before = len(self.trials)
        while True:
            if self.left > 0 and len(self.trials) - self._told < self._search.parallel:
                self.trials.append(self._ask())
            elif not self._tell_up_to(self._told):
                return len(self.trials) > before

    def settle(self, trial: Trial) -> bool:
        """Take what has become of a running trial's runs; return whether it has ended."""
        for instance, runs in enumerate(trial.chains[trial.done :], start=trial.done):
            if self._hear_run(trial, instance):
                trial.state = "pruned"
                return True
            if self._runs.state(runs[-1].hash) != "complete":
                if not self._is_lost(trial):
                    return False
                trial.state = "failed"
                return True
            trial.done += 1
        trial.values = self._values(trial)
        trial.state = "failed" if trial.values is None else "complete"
        return True

    def hear_epoch(self, trial: Trial, name: str, row: Mapping[str, Any]) -> bool:
        """Take an epoch of the run that a trial waits for; return whether the trial has ended."""
        for instance, runs in enumerate(trial.chains):
            if runs[-1].hash == name and self._search.pruner != "wilcoxon":
                step, values = self._point(trial, instance, row)
                if self._hear(trial, step, values):
                    trial.state = "pruned"
                    return True
        return False

    def row(self, trial: Trial) -> dict[str, Any]:
        """The trial's row of trials.csv."""
        values: dict[str, float] = dict(
            zip(self._search.objectives, trial.values or (), strict=False)
        )
        return {
            "arm": self.arm.name,
            "trial": trial.number,
            "state": trial.state,
            **{key: plain(value) for key, value in trial.params.items()},
            **values,
            "runs": " ".join(trial.runs),
        }

    def importances(self) -> list[ImportanceRow]:
        """Which searched key mattered, for each objective."""
        return search_importances(self._optuna, self._search.objectives, self.arm.name)

    def _trial(self, params: Params) -> Trial:
        """The next trial, of these values."""
        config = resolve(self._study, self.arm, params)
        folds = range(self._data.config.folds) if self._data.config.folds else [None]
        chains = [
            chain(self._study, config, self._data, seed, fold, predict=["val"])
            for seed, fold in itertools.product(self._study.trial_seeds, folds)
        ]
        return Trial(len(self.trials), params, config, chains)

    def _ask(self, again: Trial | None = None) -> Trial:
        """Ask for the next trial, or have Optuna take one that it has lost."""
        number = len(self._keys)
        self._optuna.sampler = sampler_of(self._search, self.arm, number)
        if again is not None:
            self._optuna.enqueue_trial(as_optuna(self.arm, again.params)[0])
        drawn = self._optuna.ask()
        if again is not None and self._search.sampler in STATEFUL:
            _ = drawn.relative_params  # which counts this draw, though the values are given
        params = draw(drawn, self.arm)
        trial = again or self._trial(params)
        drawn.set_user_attr("arm", self.arm.name)
        drawn.set_user_attr("trial", number)
        drawn.set_user_attr("runs", _folders(trial))
        self._keys.append(optuna_trials.key_of(drawn))
        return trial

    def _tell_up_to(self, number: int) -> bool:
        """Tell the trials up to `number` that have ended, in order; return whether any."""
        before = self._told
        while self._told <= min(number, len(self.trials) - 1):
            trial = self.trials[self._told]
            if trial.state == "running":
                break
            if trial.state == "complete":
                self._optuna.tell(trial.number, trial.values)
            else:
                self._optuna.tell(trial.number, state=STATES[trial.state])
            self._told += 1
        return self._told > before

    def _fits(self, frozen: FrozenTrial) -> bool:
        """Whether a trial in the storage is what trials.csv says."""
        if frozen.number >= len(self.trials):
            return False
        trial = self.trials[frozen.number]
        told = STATES.get(trial.state) == frozen.state and (
            trial.values is None or list(trial.values) == frozen.values
        )
        params, spaces = as_optuna(self.arm, trial.params)
        return (
            (frozen.state == TrialState.RUNNING or told)
            and (frozen.params, frozen.distributions) == (params, spaces)
            and frozen.user_attrs.get("runs") == _folders(trial)
        )

    def _has_another_chance(self, trial: Trial) -> bool:
        """Whether none of a failed trial's runs is given up any more."""
        states = [self._runs.state(name) for name in trial.runs]
        lost = any(name in self._runs.failures for name in trial.runs)
        return not lost and any(state != "complete" for state in states)

    def _is_lost(self, trial: Trial) -> bool:
        run = trial.needs(self._runs)
        return run is not None and run.hash in self._runs.failures

    def _values(self, trial: Trial) -> Values | None:
        """Means over the runs of each objective; None where one is not defined."""
        metrics = self._search.objectives
        rows = [self._runs.validation(runs[-1].hash, metrics) for runs in trial.chains]
        if any(value is None for row in rows for value in row):
            return None
        return tuple(sum(column) / len(column) for column in zip(*rows, strict=True))

    def _hear_run(self, trial: Trial, instance: int) -> bool:
        """Take the epochs of a run that has ended; return whether the trial is pruned by them."""
        if self._runs.state(trial.chains[instance][-1].hash) not in ("complete", "pruned"):
            return False
        return any(self._hear(trial, *point) for point in self._points(trial, instance))

    def _points(self, trial: Trial, instance: int) -> Iterator[tuple[int, Sequence[float | None]]]:
        """Steps of a run that has ended: its epochs, or for Wilcoxon's test the run as one."""
        name = trial.chains[instance][-1].hash
        if self._search.pruner == "wilcoxon":
            if self._runs.state(name) == "complete":
                yield instance + 1, self._runs.validation(name, self._search.objectives)
            return
        for row in self._runs.history(name):
            yield self._point(trial, instance, row)

    def _point(
        self, trial: Trial, instance: int, row: Mapping[str, Any]
    ) -> tuple[int, list[float | None]]:
        """Step, and the objectives, of an epoch."""
        found = [row[metric.replace("val.", "val_")] for metric in self._search.objectives]
        values = [None if value in (None, "") else float(value) for value in found]
        epochs = trial.chains[instance][-1].epochs
        return instance * epochs + int(float(row["epoch"])), values

    def _hear(self, trial: Trial, step: int, values: Sequence[float | None]) -> bool:
        """Record and judge a step; the last one is not judged, for nothing would be saved."""
        known = tuple(value for value in values if value is not None)
        if step in trial.heard or len(known) < len(values):
            return False
        trial.heard.add(step)
        key = self._keys[trial.number]
        if self._is_single:
            optuna_trials.report(self._optuna, key, step, known[0])
        if self._search.pruner == "none":
            return False
        trial.judge = trial.judge or self._judge(trial)
        verdict = trial.judge.report(step, known)
        for note, value in trial.judge.notes().items():
            optuna_trials.note(self._optuna, key, note, value)
        per_run = 1 if self._search.pruner == "wilcoxon" else trial.chains[-1][-1].epochs
        return verdict and step < len(trial.chains) * per_run

    def _judge(self, trial: Trial) -> Judge:
        """One that knows the trials which had been told when this one was asked."""
        known = max(0, trial.number - self._search.parallel + 1)
        if self._is_single:
            earlier = self._optuna.get_trials(deepcopy=False)[:known]
            return OptunaJudge(self._search.pruner, self._name, earlier, trial.number)
        complete = [one for one in self.trials[:known] if one.state == "complete"]
        return BelowBothMedians([self._curve(one) for one in complete])

    def _curve(self, trial: Trial) -> Curve:
        if trial.curve is None:
            points = [
                self._point(trial, instance, row)
                for instance, runs in enumerate(trial.chains)
                for row in self._runs.history(runs[-1].hash)
            ]
            trial.curve = {
                step: tuple(value for value in values if value is not None)
                for step, values in points
                if None not in values
            }
        return trial.curve


def _folders(trial: Trial) -> list[str]:
    return [f"runs/{name}" for name in trial.runs]
