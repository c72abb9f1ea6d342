"""Optuna's samplers as a search uses them: one for each trial, seeded by the trial's number.

A sampler that lives as long as its trial has no random state to lose: whatever a search has been
through, trial n is drawn from (seed, n) and the trials that have been told.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import torch
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler

from mtlbench.config import Arm, Distribution, SearchConfig, same
from mtlbench.study.search.space import Params, holds, is_conditional, plain

POPULATION = 16
"""Of a generation of NSGA-II and NSGA-III: Optuna's 50 is more than most searches have trials."""
STATEFUL = ("qmc", "nsga2", "nsga3")
"""Samplers that leave something in the study with each draw."""
SAMPLERS: dict[str, Callable[[int, int, bool], BaseSampler]] = {
    "tpe": lambda seed, _, conditional: optuna.samplers.TPESampler(
        seed=seed, multivariate=True, group=conditional
    ),
    "gp": lambda seed, *_: optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False),
    "nsga2": lambda seed, *_: optuna.samplers.NSGAIISampler(seed=seed, population_size=POPULATION),
    "nsga3": lambda seed, *_: optuna.samplers.NSGAIIISampler(seed=seed, population_size=POPULATION),
    "qmc": lambda seed, series, _: optuna.samplers.QMCSampler(
        seed=series, scramble=True, warn_independent_sampling=False,
        independent_sampler=optuna.samplers.RandomSampler(seed=seed),
    ),
    "random": lambda seed, *_: optuna.samplers.RandomSampler(seed=seed),
}  # fmt: skip
"""Name → (seed of this trial, seed of the search, whether keys are conditional) → sampler."""


def sampler_of(search: SearchConfig, arm: Arm, number: int) -> BaseSampler:
    """The sampler that draws one trial of an arm."""
    seed = int(np.random.SeedSequence([search.seed, number]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[search.sampler](seed, search.seed, is_conditional(arm))


def draw(trial: optuna.Trial, arm: Arm) -> dict[str, Any]:
    """Have every key of the arm that holds suggested, in the file's order."""
    params: dict[str, Any] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the Gaussian process's last bits depend on it
    try:
        for key, distribution in arm.search.items():
            if holds(distribution, params):
                params[key] = _suggested(trial, key, distribution)
    finally:
        torch.set_num_threads(threads)
    return params


def as_optuna(arm: Arm, params: Params) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """A configuration's values and distributions as an Optuna trial holds them."""
    spaces = {key: optuna_of(arm.search[key]) for key in params}
    values = {
        key: _name(value) if arm.search[key].choices is not None else value
        for key, value in params.items()
    }
    return values, spaces


def optuna_of(distribution: Distribution) -> BaseDistribution:
    """The same as an Optuna distribution."""
    low, high = distribution.ends
    if distribution.choices is not None:
        return CategoricalDistribution([_name(choice) for choice in distribution.choices])
    if distribution.whole:
        step = int(distribution.step or 1)
        return IntDistribution(int(low), int(high), log=distribution.log, step=step)
    step_or_none = None if distribution.step is None else float(distribution.step)
    return FloatDistribution(float(low), float(high), log=distribution.log, step=step_or_none)


def _name(choice: Any) -> str | int | float | bool:
    """A choice that any Optuna storage can hold."""
    return choice if isinstance(choice, str | int | float | bool) else plain(choice)


def _suggested(trial: optuna.Trial, key: str, distribution: Distribution) -> Any:
    space = optuna_of(distribution)
    if isinstance(space, FloatDistribution):
        return trial.suggest_float(key, space.low, space.high, step=space.step, log=space.log)
    if isinstance(space, IntDistribution):
        return trial.suggest_int(key, space.low, space.high, step=space.step, log=space.log)
    name = trial.suggest_categorical(key, [_name(choice) for choice in distribution.choices or []])
    return next(c for c in distribution.choices or [] if same(_name(c), name))
