"""fANOVA on planted surfaces whose shares of variance are known."""

import optuna
import pytest

from mtlbench.study.search.importance import COLUMNS, search_importances

optuna.logging.set_verbosity(optuna.logging.WARNING)


def searched(objective, trials, directions=("maximize",)):
    study = optuna.create_study(
        directions=list(directions), sampler=optuna.samplers.RandomSampler(seed=0)
    )
    study.optimize(objective, n_trials=trials)
    return study


def test_the_important_key_comes_first_in_each_objective():
    def objective(trial):
        lam, lr = trial.suggest_float("lambda", 0, 1), trial.suggest_float("lr", 0, 1)
        noise = trial.suggest_float("noise", 0, 1)
        trial.suggest_categorical("only", ["one"])
        return 3 * lam + lr + 0 * noise, 3 * lr + lam

    study = searched(objective, 120, ("maximize", "maximize"))
    rows = search_importances(study, ["val.auc", "val.dice"], "joint")
    assert [row["factor"] for row in rows if row["metric"] == "val.auc"][:2] == ["lambda", "lr"]
    assert [row["factor"] for row in rows if row["metric"] == "val.dice"][:2] == ["lr", "lambda"]
    assert all(list(row) == list(COLUMNS) for row in rows)
    shares = {row["factor"]: row["importance"] for row in rows[:4]}
    assert shares["lambda"] == pytest.approx(0.9, abs=0.08)  # 9/12 of (9 + 1)/12
    assert shares["lr"] == pytest.approx(0.1, abs=0.05)
    assert shares["noise"] < 0.02
    assert shares["only"] == 0
    assert {(row["arm"], row["method"], row["n"]) for row in rows} == {("joint", "fANOVA", 120)}
    assert rows == search_importances(study, ["val.auc", "val.dice"], "joint")


def test_a_conditional_key_is_measured_where_it_holds():
    def objective(trial):
        if trial.suggest_categorical("optimizer", ["sgd", "adam"]) == "sgd":
            return trial.suggest_float("momentum", 0, 1)
        return 0.5

    rows = {row["factor"]: row for row in search_importances(searched(objective, 80), ["a"], "b")}
    assert rows["optimizer"]["n"] == 80
    assert 10 < rows["momentum"]["n"] < 70
    assert rows["momentum"]["importance"] > 0.9


def test_pruned_and_failed_trials_do_not_count_and_few_say_nothing():
    def objective(trial):
        value = trial.suggest_float("x", 0, 1)
        if trial.number % 2:
            raise optuna.TrialPruned
        return value

    (row,) = search_importances(searched(objective, 18), ["val.auc"], "joint")
    assert (row["importance"], row["n"]) == (None, 9)
    (row,) = search_importances(searched(objective, 20), ["val.auc"], "joint")
    assert row["importance"] == pytest.approx(1)
    assert search_importances(searched(objective, 0), ["val.auc"], "joint") == []


def test_equal_values_tell_nothing():
    study = searched(lambda trial: 0.5 + 0 * trial.suggest_float("x", 0, 1), 12)
    (row,) = search_importances(study, ["val.auc"], "joint")
    assert (row["importance"], row["n"]) == (None, 12)
