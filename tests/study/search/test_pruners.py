import random
from collections import Counter

import numpy as np
import optuna
import pytest

from mtlbench.records import RunFolder

SAMPLERS = ["tpe", "gp", "nsga2", "nsga3", "qmc", "random"]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("pruner", ["median", "hyperband", "wilcoxon", "patient"])
def test_all_samplers_work_with_all_pruners(hunt, sampler, pruner):
    lines = f'sampler = "{sampler}"\npruner = "{pruner}"\ntrials = 14\ntrial_seeds = [5, 6]'
    make, driver = hunt(lines, space="wide", epochs=4, in_memory=True)
    search = make()
    assert driver.run(search, slots=4) == {}
    states = Counter(row["state"] for row in driver.trials())
    assert states["complete"] + states["pruned"] == 14
    assert states["complete"] >= 1


@pytest.mark.parametrize("pruner", ["median", "hyperband", "patient", "wilcoxon"])
def test_pruning_saves_epochs_and_spares_the_best(hunt, peak, pruner):
    seeds = "[4, 5, 6, 7, 8, 9]" if pruner == "wilcoxon" else "[4]"
    lines = f'sampler = "random"\npruner = "{pruner}"\ntrials = 40\ntrial_seeds = {seeds}'
    surface = peak() if pruner != "patient" else peak(0.9)
    make, driver = hunt(
        lines, epochs=9 if pruner != "wilcoxon" else 1, surface=surface, in_memory=True
    )
    if pruner == "patient":  # it waits for a curve that has fallen
        driver.curve = lambda final, f: {
            k: None if v is None else v - 0.1 * f for k, v in final.items()
        }
    search = make()
    driver.run(search, slots=4)
    rows = driver.trials()
    assert [row["state"] for row in rows].count("pruned") >= 8
    values = {}
    for row in rows:
        configs = {"lr": float(row["optim.lr"])}
        stage = [{"cls_weight": float(row["loss.lambda"])}]
        configs["batch_size"] = 16
        values[row["trial"]] = surface({"stages": stage, "optim": configs, "seed": 0})["auc"]
    best = max(values, key=values.get)
    assert [str(cell.trial) for cell in search.finalists()] == [best]


@pytest.mark.parametrize("pruner", ["median", "hyperband", "wilcoxon"])
def test_verdicts_depend_on_no_order(hunt, undisturbed, pruner):
    seeds = "[4, 5, 6, 7, 8, 9]" if pruner == "wilcoxon" else "[4]"
    lines = f'pruner = "{pruner}"\ntrials = 14\ntrial_seeds = {seeds}\nparallel = 3'
    epochs = 1 if pruner == "wilcoxon" else 6
    expected = undisturbed(lines, epochs=epochs)
    assert b"pruned" in expected[0]
    make, driver = hunt(lines, epochs=epochs, folder="shuffled")
    rng = random.Random(3)
    while True:
        try:
            driver.run(make(), slots=8, rng=rng, kill_after=20)
            break
        except driver.Killed:
            if rng.random() < 0.5:
                (driver.folder / "optuna.db").unlink()
    assert driver.fingerprint() == expected


def test_the_median_pruner_prunes_what_optuna_used_by_hand_prunes(hunt, peak):
    lines = 'sampler = "random"\npruner = "median"\ntrials = 30\nparallel = 1'
    make, driver = hunt(lines, epochs=5, in_memory=True)
    driver.run(make())
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
    for row in driver.trials():
        stage = [{"cls_weight": float(row["loss.lambda"])}]
        optim = {"lr": float(row["optim.lr"]), "batch_size": 16}
        final = peak()({"stages": stage, "optim": optim, "seed": 1000})["auc"]
        trial, state = study.ask(), "complete"
        for epoch in range(1, 6):
            trial.report(final * (0.5 + 0.1 * epoch), epoch)
            if trial.should_prune() and epoch < 5:
                state = "pruned"
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, final)
        assert row["state"] == state


def test_a_pruned_run_that_another_arm_needs_is_computed_again(hunt):
    more = """
[[arms]]
name = "other"
set = { strategy = "joint", "optim.lr" = 1e-3 }
search = { "loss.lambda" = [0.1, 0.3, 0.5, 0.7, 0.9] }
"""
    lines = 'pruner = "median"\ntrials = 25\nsampler = "random"'
    space = '"loss.lambda" = [0.1, 0.3, 0.5, 0.7, 0.9]\n"optim.lr" = [1e-3, 1e-2]'
    make, driver = hunt(lines, space=space, more=more, epochs=5, in_memory=True)
    search = make()
    driver.run(search, slots=3, rng=random.Random(1))
    states = Counter((row["arm"], row["state"]) for row in driver.trials())
    assert sum(states.values()) == 50
    assert max(Counter(driver.completed).values()) == 1
    for row in driver.trials():
        run = RunFolder(driver.path(row["runs"]))
        assert row["state"] == "pruned" or run.state() == "complete"


TWO = 'objective = ["val.auc", "val.dice"]'


def test_two_objectives_prune_below_both_medians_only(hunt, peak):
    lines = f'{TWO}\nsampler = "random"\npruner = "median"\ntrials = 40\nparallel = 1'
    make, driver = hunt(lines, epochs=4, in_memory=True)
    driver.run(make())
    curves, surface = [], peak()
    for row in driver.trials():
        stage = [{"cls_weight": float(row["loss.lambda"])}]
        optim = {"lr": float(row["optim.lr"]), "batch_size": 16}
        final = surface({"stages": stage, "optim": optim, "seed": 1000})
        curve = [[final[m] * (0.5 + 0.125 * e) for m in ("auc", "dice")] for e in range(1, 5)]
        pruned = any(
            len(curves) >= 5
            and all(curve[e][m] < np.median([c[e][m] for c in curves]) for m in (0, 1))
            for e in range(3)
        )
        assert row["state"] == ("pruned" if pruned else "complete")
        curves += [] if pruned else [curve]
    assert 5 <= len(curves) <= 35
