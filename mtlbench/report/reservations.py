"""What limits a table's numbers: few patients, undefined resamples, searches, missing runs."""

from collections.abc import Sequence

import pandas as pd

from mtlbench.analysis.rows import MAX_UNDEFINED, MIN_PATIENTS
from mtlbench.report import text
from mtlbench.report.collect import Study
from mtlbench.report.numbers import Numbers


def unreliable(numbers: Numbers, metrics: Sequence[str]) -> str:
    """Name the intervals of few patients or undefined resamples: none of them is printed bold."""
    parts = []
    for metric in metrics:
        own = _unreliable_cells(numbers.estimates, metric, "value")
        base = numbers.baselines.get(metric)
        paired = _unreliable_cells(numbers.comparisons, metric, "difference")
        paired = [name for name in paired if not {name, base and base.name} & {*own}]
        name = text.metric_name(metric)
        for what, names in ((name, own), (f"Δ {name}", paired)):
            if names:
                parts.append(f"{what} of {', '.join(names)}")
    if not parts:
        return ""
    return (
        f"Fewer than {MIN_PATIENTS} test patients in a class, or more than "
        f"{100 * MAX_UNDEFINED:g} % of the resamples undefined: intervals and p are unreliable: "
        f"{'; '.join(parts)}."
    )


def _unreliable_cells(table: pd.DataFrame, metric: str, value: str) -> list[str]:
    rows = table[(table["metric"] == metric) & table[value].notna() & ~table["reliable"]]
    return [str(name) for name in rows["cell"]]


def searched(study: Study, numbers: Numbers) -> str:
    """How many configurations were tried before the test set was opened, and what that flattered.

    Optimism: the best trial's value, found by looking for it, less the test value of the same
    metric of the finalist that stands for the arm, trained afresh.
    """
    lines = []
    for arm, trials in study.trials.groupby("arm", sort=False):
        states = trials["state"].value_counts()
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        line = f"{arm}: {len(trials)} configurations were searched on validation data ({told})"
        cell = study.representative(str(arm))
        metric = study.config.compare.choose or ""
        test = None if cell is None else numbers.value(cell, metric.removeprefix("val."))
        if test is not None and metric in trials:
            best = pd.to_numeric(trials[metric], errors="coerce").max()
            line += (
                f"; the best trial’s {metric} is {text.percent(best)}, the finalist’s test value "
                f"{text.percent(test)} (optimism {text.percent(best - test)} points)"
            )
        lines.append(f"{line}.")
    return " ".join(lines)


def undefined(numbers: Numbers) -> str:
    """The metric that most resamples leave undefined."""
    rows = numbers.estimates
    rows = rows[rows["n_undefined"].fillna(0) > 0]
    if rows.empty:
        return ""
    worst = rows.sort_values("n_undefined").iloc[-1]
    return (
        f"Resamples in which a metric is undefined are left out: at most {worst['n_undefined']:g} "
        f"({text.metric_name(worst['metric'])} of {worst['cell']})."
    )


def missing(study: Study) -> str:
    """What the design asks for and is not there."""
    if not study.missing:
        return ""
    return f"Missing, since their runs are not complete: {'; '.join(study.missing)}."
