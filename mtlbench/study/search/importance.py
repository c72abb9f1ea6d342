"""Which searched key mattered: functional ANOVA of a search's trials, by Optuna."""

from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

ImportanceRow = dict[str, str | int | float | None]
"""A row of `results/<study>/importances.csv`."""
COLUMNS = ("metric", "arm", "factor", "importance", "method", "n")
"""Of that file, which the report reads."""
METHOD = "fANOVA"
MIN_TRIALS = 10
"""Below it a forest tells more of itself than of the trials."""


def search_importances(
    study: optuna.Study, metrics: Sequence[str], arm: str
) -> list[ImportanceRow]:
    """Give each key's share of the variance of each objective over the space that was searched.

    The share is of the key alone (its main effect), of a random forest's predictions (Hutter et
    al. 2014), by complete trials; a key that is searched under a condition is measured among the
    trials that have it. None below MIN_TRIALS of them, or where all their values are equal.

    Args:
        study: the arm's trials.
        metrics: the name of each objective, in the study's order.
        arm: the arm's name.

    Returns:
        Rows with the columns of COLUMNS, the most important key of a metric first.
    """
    trials = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    keys = dict.fromkeys(key for trial in trials for key in trial.params)
    having = {key: [trial for trial in trials if key in trial.params] for key in keys}
    common = [key for key in keys if len(having[key]) == len(trials)]
    rows: list[ImportanceRow] = []
    for index, metric in enumerate(metrics):
        shares = _shares(study, trials, common, index)
        for key in keys:
            if key not in common:
                found = _shares(study, having[key], [*common, key], index)
                shares |= {key: found.get(key)}
        of_metric: list[ImportanceRow] = [
            dict(zip(COLUMNS, (metric, arm, key, share, METHOD, len(having[key])), strict=True))
            for key, share in shares.items()
        ]
        rows += sorted(of_metric, key=lambda row: -float(row["importance"] or 0))
    return rows


def _shares(
    study: optuna.Study, trials: Sequence[FrozenTrial], keys: list[str], index: int
) -> dict[str, float | None]:
    """Measure the keys on those trials, which are the study's complete ones that have them all."""

    def target(trial: FrozenTrial) -> float:
        return float(trial.values[index])

    if len(trials) < MIN_TRIALS or len(set(map(target, trials))) == 1:
        return dict.fromkeys(keys)
    from optuna.importance import FanovaImportanceEvaluator  # its forest takes a second to import

    return dict(FanovaImportanceEvaluator(seed=0).evaluate(study, params=keys, target=target))
