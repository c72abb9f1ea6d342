"""When a trial of a search is given up: Optuna's pruners, and one for two objectives.

A trial is judged by itself and by those that had been told when it was asked, never by what else
has been told since. So a verdict does not depend on which run is faster.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Protocol

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState, create_trial

Values = tuple[float, ...]
"""Of each objective."""
Curve = Mapping[int, Values]
"""Step → values of one trial."""

STARTUP_TRIALS = 5
"""Complete trials before the median is believed, as in Optuna."""
PATIENCE = 3
"""Validated epochs without a better value before the patient pruner looks at the median."""
PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "none": optuna.pruners.NopPruner,
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS),
    "hyperband": optuna.pruners.HyperbandPruner,
    "wilcoxon": optuna.pruners.WilcoxonPruner,
    "patient": lambda: optuna.pruners.PatientPruner(
        optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS), PATIENCE
    ),
}


class Judge(Protocol):
    """Judges one trial."""

    def report(self, step: int, values: Values) -> bool:
        """Take the values of a step, counted from 1; True where the trial is to be pruned."""
        ...

    def notes(self) -> dict[str, float]:
        """What the judging of later trials needs to know of this one."""
        ...


class OptunaJudge:
    """One of Optuna's pruners, on one objective, in a study of its own in memory."""

    def __init__(self, rule: str, name: str, earlier: Sequence[FrozenTrial], number: int) -> None:
        """`earlier` are the first trials of the study `name`; the one to judge has `number`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._pruner = PRUNERS[rule]()
        self._study = optuna.create_study(study_name=name, direction="maximize")
        self._study.add_trials(earlier)
        unknown = create_trial(state=TrialState.FAIL)
        self._study.add_trials([unknown] * (number - len(earlier)))
        self._trial = self._study.ask()

    def report(self, step: int, values: Values) -> bool:
        """See `Judge`."""
        self._trial.report(values[0], step)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of what the best trial has not reported
            return self._pruner.prune(self._study, self._frozen())

    def notes(self) -> dict[str, float]:
        """See `Judge`: the rungs of successive halving."""
        attributes = self._frozen().system_attrs
        return {key: value for key, value in attributes.items() if key.startswith("completed_rung")}

    def _frozen(self) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[self._trial.number]


class BelowBothMedians:
    """Optuna prunes on one objective only; with two: where both are below their medians.

    As in Optuna's median pruner it is the best value so far that is held, at each step, against
    those of the complete trials at that step.
    """

    def __init__(self, complete: Sequence[Curve]) -> None:
        """Curves of the complete trials that judge."""
        self._complete = complete
        self._best: Values = ()

    def report(self, step: int, values: Values) -> bool:
        """See `Judge`."""
        self._best = tuple(map(max, self._best or values, values))
        reached = [curve[step] for curve in self._complete if step in curve]
        if len(self._complete) < STARTUP_TRIALS or not reached:
            return False
        medians = [median(column) for column in zip(*reached, strict=True)]
        return all(best < middle for best, middle in zip(self._best, medians, strict=True))

    def notes(self) -> dict[str, float]:
        """Nothing."""
        return {}
