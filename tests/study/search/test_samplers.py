"""As good as Optuna by hand."""

import random
import warnings

import numpy as np
import optuna
import pytest
import torch


def by_hand(sampler_of, surface, trials, parallel):
    """All values that Optuna finds when it is asked and told by hand, trial n by its sampler."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(direction="maximize")
        waiting = []
        for number in range(trials):
            study.sampler = sampler_of(number)
            trial = study.ask()
            lambda_ = trial.suggest_float("loss.lambda", 0.05, 0.95)
            lr = trial.suggest_float("optim.lr", 1e-4, 1e-1, log=True)
            config = {"stages": [{"cls_weight": lambda_}], "seed": 1000}
            value = surface(config | {"optim": {"lr": lr, "batch_size": 16}})["auc"]
            waiting.append((trial, value))
            if len(waiting) == parallel:
                study.tell(*waiting.pop(0))
        for trial, value in waiting:
            study.tell(trial, value)
    return [trial.value for trial in study.trials]


@pytest.mark.parametrize(("name", "surfaces", "trials_"), [("tpe", 24, 40), ("gp", 6, 20)])
def test_the_optimum_is_found_as_often_as_by_hand(hunt, peak, name, surfaces, trials_):
    """Trial by trial as by hand with a sampler for each; as often, to chance, as with one for all.

    The two by hand draw other random numbers, by which alone they differ in about three of 24
    surfaces (one standard deviation): nothing tighter can be asked of them at this cost.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the Gaussian process's last bits depend on it
    samplers = {
        "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True),
        "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
    }
    ours, theirs = [], []
    for number in range(surfaces):
        rng = random.Random(number)
        surface = peak(rng.uniform(0.1, 0.9), rng.uniform(-3.8, -1.2))
        lines = f'sampler = "{name}"\ntrials = {trials_}\nseed = {number}'
        make, driver = hunt(
            lines, surface=surface, folder=f"{name}{number}", in_memory=True, epochs=1
        )
        search = make()
        driver.run(search, slots=4, rng=rng)
        [best] = search.finalists()
        found = [float(row["val.auc"]) for row in driver.trials()]
        seeds = [np.random.SeedSequence([number, n]).generate_state(1)[0] for n in range(trials_)]
        each = by_hand(lambda n: samplers[name](int(seeds[n])), surface, trials_, parallel=4)  # noqa: B023
        assert found == each
        assert best.trial == int(np.argmax(each))
        ours.append(max(found))
        one = samplers[name](number)
        theirs.append(max(by_hand(lambda _: one, surface, trials_, parallel=4)))  # noqa: B023
    torch.set_num_threads(threads)
    near = 0.998  # the optimum is 0.99884
    found, found_by_hand = (sum(value > near for value in v) for v in (ours, theirs))
    print(f"{name}: {found} of {surfaces}, by hand {found_by_hand}", sum(ours) - sum(theirs))
    assert found >= found_by_hand - max(2, surfaces // 6)
