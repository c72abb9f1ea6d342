"""Trials by their keys in the storage, which Optuna's public interface does not give.

`Study.add_trial` tells no key, and `Study.tell` looks for a trial by its number, which reads all
trials of the study. `Trial.report` needs the object that `Study.ask` gave: a driver that goes on
after a killed one has none. So these functions, and no others, use private names of Optuna; a
major version is tested before it is allowed (see pyproject.toml).
"""

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState


def key_of(trial: Trial | FrozenTrial) -> int:
    """The trial's key in the storage; not its number, which counts within the study."""
    return int(trial._trial_id)


def add(study: optuna.Study, trial: FrozenTrial) -> int:
    """Add a trial as it is; give its key."""
    return int(study._storage.create_new_trial(study._study_id, trial))


def close(study: optuna.Study, key: int, values: list[float] | None) -> None:
    """End a running trial: complete with its values, or failed without."""
    state = TrialState.FAIL if values is None else TrialState.COMPLETE
    study._storage.set_trial_state_values(key, state, values)


def report(study: optuna.Study, key: int, step: int, value: float) -> None:
    """Write the value of a step."""
    study._storage.set_trial_intermediate_value(key, step, value)


def note(study: optuna.Study, key: int, name: str, value: float) -> None:
    """Write what one of Optuna's pruners keeps with a trial."""
    study._storage.set_trial_system_attr(key, name, value)
