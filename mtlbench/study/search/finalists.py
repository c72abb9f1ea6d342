"""Which trials of a search are trained again with fresh seeds, and its Pareto front."""

from collections.abc import Sequence

from mtlbench.study.search.pruners import Values
from mtlbench.study.search.trial import Trial


def choose_finalists(trials: Sequence[Trial], count: int) -> list[Trial]:
    """The best configurations, each once, of an arm's trials; fewer where there are no more.

    With one objective in order of its value; with two, of the Pareto front, each time the one that
    adds most hypervolume to those chosen before it, above the worst value of each objective among
    the complete trials. Where two are equal the earlier trial goes first.
    """
    distinct = _distinct(trials)
    if not distinct:
        return []
    if len(distinct[0][1]) == 1:
        return [trial for trial, _ in sorted(distinct, key=lambda pair: -pair[1][0])][:count]
    values = [value for _, value in distinct]
    worst = (min(value[0] for value in values), min(value[1] for value in values))
    return _greedily(pareto_front(trials), worst, count)


def pareto_front(trials: Sequence[Trial]) -> list[Trial]:
    """The complete trials that no other dominates, each configuration once.

    One dominates another where it is as good in both objectives and better in one.
    """
    distinct = _distinct(trials)
    return [
        trial
        for trial, value in distinct
        if not any(_dominates(other, value) for _, other in distinct)
    ]


def hypervolume(points: Sequence[Values], worst: Values) -> float:
    """Area between points of two objectives and a point that is worse than all of them."""
    area, height = 0.0, worst[1]
    for x, y in sorted(points, reverse=True):
        area += (x - worst[0]) * max(0.0, y - height)
        height = max(height, y)
    return area


def _greedily(front: list[Trial], worst: Values, count: int) -> list[Trial]:
    chosen: list[Trial] = []
    while front and len(chosen) < count:
        points = [trial.values or worst for trial in chosen]
        best = max(front, key=lambda one: hypervolume([*points, one.values or worst], worst))
        chosen.append(best)
        front = [trial for trial in front if trial is not best]
    return chosen


def _distinct(trials: Sequence[Trial]) -> list[tuple[Trial, Values]]:
    """The first complete trial of each configuration, that is of the same runs; its values."""
    found: dict[tuple[str, ...], tuple[Trial, Values]] = {}
    for trial in trials:
        if trial.values is not None:
            found.setdefault(tuple(trial.runs), (trial, trial.values))
    return list(found.values())


def _dominates(a: Values, b: Values) -> bool:
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))
