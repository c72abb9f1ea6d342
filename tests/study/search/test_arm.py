"""What is asked and told: the same for any number of jobs, any order, any kill."""

import random
from collections import Counter

import optuna
import pytest

from mtlbench.records import RunFolder


def test_optuna_holds_readable_trials_with_their_curves(hunt):
    make, driver = hunt()
    driver.run(make())
    for row, trial in zip(driver.trials(), driver.optuna_trials(), strict=True):
        assert trial.user_attrs["runs"] == [f"runs/{name}" for name in row["runs"].split()]
        assert (trial.user_attrs["arm"], trial.user_attrs["trial"]) == ("joint", trial.number)
        assert repr(trial.value) == row["val.auc"]
        assert sorted(trial.intermediate_values) == [1, 2]
        assert trial.intermediate_values[2] == pytest.approx(trial.value)


def test_a_value_is_the_mean_over_seeds_and_folds(hunt, peak):
    make, driver = hunt("trials = 3\ntrial_seeds = [7, 70]", surface=peak())
    driver.run(make())
    for row in driver.trials():
        runs = [RunFolder(driver.path(name)) for name in row["runs"].split()]
        values = [run.record()["validation"]["auc"] for run in runs]
        assert float(row["val.auc"]) == sum(values) / 2
        assert values[0] != values[1]


def test_conditional_keys_stand_only_where_they_hold(hunt):
    make, driver = hunt("trials = 16", space="wide")
    driver.run(make(), slots=3)
    for row, trial in zip(driver.trials(), driver.optuna_trials(), strict=True):
        assert (row["loss.lambda"] == "") == (row["strategy"] == "sequential")
        assert ("loss.lambda" in trial.params) == (row["strategy"] == "joint")
        assert type(trial.params["optim.batch_size"]) is int
    assert {row["strategy"] for row in driver.trials()} == {"joint", "sequential"}


SAMPLERS = ["tpe", "gp", "nsga2", "nsga3", "qmc", "random"]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_jobs_order_and_kills_change_nothing(hunt, undisturbed, sampler):
    lines = f'sampler = "{sampler}"\ntrials = 22\nparallel = 4'
    expected = undisturbed(lines)
    make, driver = hunt(lines, folder="disturbed")
    rng = random.Random(SAMPLERS.index(sampler))
    while True:
        try:
            driver.run(make(), slots=8, rng=rng, kill_after=rng.randrange(8, 20))
            break
        except driver.Killed:
            if rng.random() < 0.4:
                (driver.folder / "optuna.db").unlink()
    assert driver.fingerprint() == expected
    assert max(Counter(driver.completed).values()) == 1


@pytest.mark.parametrize("pruner", ["none", "hyperband"])
def test_a_kill_at_any_point_changes_nothing(hunt, undisturbed, pruner):
    lines = f'trials = 8\nparallel = 3\npruner = "{pruner}"'
    expected = undisturbed(lines, epochs=3)
    for events in range(1, 24, 2):
        make, driver = hunt(lines, folder=f"kill{events}", epochs=3)
        try:
            driver.run(make(), slots=3, rng=random.Random(events), kill_after=events)
        except driver.Killed:
            if events % 3 == 0:
                (driver.folder / "optuna.db").write_text("no database " * 100)
            driver.run(make(), slots=3, rng=random.Random(events))
        assert driver.fingerprint() == expected


class Stop(BaseException):
    """A kill in the middle of a write to Optuna or of trials.csv."""


def test_a_kill_between_any_two_writes_changes_nothing(hunt, undisturbed, monkeypatch):
    lines = "trials = 5\nparallel = 2"
    expected = undisturbed(lines)
    storage = optuna.storages._cached_storage._CachedStorage
    names = [
        "create_new_trial", "set_trial_param", "set_trial_user_attr", "set_trial_state_values",
        "set_trial_intermediate_value",
    ]  # fmt: skip
    originals = {name: getattr(storage, name) for name in names}
    for point in range(0, 60, 5):
        make, driver = hunt(lines, folder=f"write{point}")
        left = [point]

        def counted(name, left=left):
            def call(*args, **kwargs):
                left[0] -= 1
                if left[0] < 0:
                    raise Stop
                return originals[name](*args, **kwargs)

            return call

        for name in names:
            monkeypatch.setattr(storage, name, counted(name))
        try:
            driver.run(make())
        except Stop:
            monkeypatch.undo()
            driver.run(make())
        monkeypatch.undo()
        assert driver.fingerprint() == expected


def test_trials_of_a_dead_driver_are_taken_over(hunt):
    make, driver = hunt("trials = 8\nparallel = 4")
    with pytest.raises(driver.Killed):
        driver.run(make(), slots=4, kill_after=5)
    before = driver.optuna_trials()
    running = {t.number: t.params for t in before if t.state.name == "RUNNING"}
    assert running
    driver.run(make())
    after = driver.optuna_trials()
    assert {n: after[n].params for n in running} == running
    assert [t.state.name for t in after] == ["COMPLETE"] * 8
