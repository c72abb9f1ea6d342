"""What a study will cost: seconds a step, from runs already done or a short calibration."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mtlbench.config import Arm, StudyConfig
from mtlbench.records import canonical_json, run_folder
from mtlbench.study.cells import resolve
from mtlbench.study.data import StudyData
from mtlbench.study.design import Design, Run, chain
from mtlbench.study.search.space import middle
from mtlbench.study.status import count_trials, found
from mtlbench.study.weights import to_make_again
from mtlbench.training.rehearsal import step_s
from mtlbench.training.validation import epochs_apart, share

_CASES = 2
"""Cases of a calibration batch: small, so that planning a study for a GPU is bearable here."""


def estimate_s(
    study: StudyConfig, data: StudyData, design: Design, folder: Path, device: str
) -> float:
    """Seconds of training that the runs not yet done will take, one after another.

    With them count weights that must be made again; prediction and start-up come on top. `design`
    has the finalists that are known. A trial to come counts as a run of the middle of its space
    that is not pruned, and may become a finalist.
    """
    clock = _Clock(data, device)
    left = to_make_again(folder, design.runs)
    for name, run in design.runs.items():
        state, record, _ = found(run_folder(folder, name))
        if state == "complete":
            clock.learn(run, record)
        else:
            left.append(run)
    seconds = sum(clock.step_s(run) * design.own_steps(run.hash) for run in left)
    searched = [arm for arm in study.arms if arm.search]
    return seconds + sum(_search_s(study, arm, data, folder, clock) for arm in searched)


class _Clock:
    """Seconds a step; runs of a kind take the same time."""

    def __init__(self, data: StudyData, device: str) -> None:
        """Nothing is known yet."""
        self._data, self._device = data, torch.device(device)
        self._known: dict[str, float] = {}

    def learn(self, run: Run, record: Mapping[str, Any]) -> None:
        """Take the time of a run that is complete."""
        self._known.setdefault(_kind(run), record["wall_s"] / record["steps"])

    def step_s(self, run: Run) -> float:
        """Seconds of a step of the run's own stage, with its share of validation."""
        kind = _kind(run)
        if kind not in self._known:
            of_few = step_s(run.config, self._data.config.size, _CASES, self._device)
            of_batch = of_few * int(run.config["optim"]["batch_size"]) / _CASES
            self._known[kind] = of_batch / (1 - self._validation(run))
        return self._known[kind]

    def _validation(self, run: Run) -> float:
        """Part of a run's time that validation takes."""
        fold, batch_size = run.config["fold"], int(run.config["optim"]["batch_size"])
        trained = self._data.steps_per_epoch(batch_size, fold) * batch_size
        cases = (trained // run.config.get("gpus_per_run", 1), self._data.sizes[fold]["val"])
        apart = epochs_apart(run.config["optim"]["validate_every"], run.epochs, *cases)
        return share(apart, run.epochs, *cases)

    def chain_s(self, runs: Sequence[Run]) -> float:
        """Seconds of all stages."""
        steps = [0, *(run.steps for run in runs)]
        own = (after - before for before, after in itertools.pairwise(steps))
        return sum(self.step_s(run) * count for run, count in zip(runs, own, strict=True))


def _search_s(study: StudyConfig, arm: Arm, data: StudyData, folder: Path, clock: _Clock) -> float:
    assert study.search is not None
    config = resolve(study, arm, middle(arm))
    folds = list(range(data.config.folds)) if data.config.folds else [None]
    seed_s = sum(clock.chain_s(chain(study, config, data, 0, fold)) for fold in folds)
    states = count_trials(folder).get(arm.name, {})
    ended = sum(n for state, n in states.items() if state != "running")
    trials = max(0, study.search.trials - ended)
    finalists = min(study.search.finalists, trials)
    return seed_s * (trials * len(study.trial_seeds) + finalists * len(study.seeds))


def _kind(run: Run) -> str:
    """Runs of a kind take the same time a step."""
    stage, optim = run.config["stages"][-1], run.config["optim"]
    tasks = [stage["cls_weight"] > 0, stage["seg_weight"] > 0]
    step = [optim[key] for key in ("batch_size", "accumulate", "validate_every")]
    return canonical_json(
        [run.config["model"], step, tasks, run.config["loss"].get("target_stride")]
    )
