"""What limits a table's numbers: few patients, undefined resamples, searches, missing runs."""

from collections.abc import Sequence

import pandas as pd

from mtlbench.analysis.rows import (
    DOUBTS,
    FEW_LESIONS,
    FEW_PATIENTS,
    MAX_UNDEFINED,
    MIN_PATIENTS,
    UNDEFINED,
)
from mtlbench.report import text
from mtlbench.report.collect import Cell, Study
from mtlbench.report.numbers import Numbers
from mtlbench.report.optimism import optimism

_WHY = {
    FEW_PATIENTS: f"fewer than {MIN_PATIENTS} test patients in a class",
    FEW_LESIONS: "a pooled Dice that a few large lesions dominate",
    UNDEFINED: f"more than {100 * MAX_UNDEFINED:g} % of the resamples undefined",
}


def unreliable(numbers: Numbers, metrics: Sequence[str]) -> str:
    """Name the intervals that may be wrong, and why: none of them is printed bold."""
    whole, parts = [], []
    for metric in metrics:
        own = _unreliable_cells(numbers.estimates, metric, "value")
        if own and len(own) == len(_valued(numbers.estimates, metric, "value")):
            whole.append(text.metric_name(metric))
            continue
        base = numbers.baselines.get(metric)
        paired = _unreliable_cells(numbers.comparisons, metric, "difference")
        paired = [name for name in paired if not {name, base and base.name} & {*own}]
        name = text.metric_name(metric)
        for what, names in ((name, own), (f"Δ {name}", paired)):
            if names:
                parts.append(f"{what} of {', '.join(names)}")
    parts = [f"all {', '.join(whole)}"] * bool(whole) + parts
    if not parts:
        return ""
    return f"Unreliable intervals and p ({_why(numbers, metrics)}): {'; '.join(parts)}."


def _why(numbers: Numbers, metrics: Sequence[str]) -> str:
    tables = (numbers.estimates, numbers.comparisons)
    words = [w for table in tables for w in table.loc[table["metric"].isin(metrics), "doubts"]]
    return ", or ".join(_WHY[doubt] for doubt in DOUBTS if any(doubt in w for w in words))


def _unreliable_cells(table: pd.DataFrame, metric: str, value: str) -> list[str]:
    rows = _valued(table, metric, value)
    return [str(name) for name in rows.loc[~rows["reliable"].astype(bool), "cell"]]


def _valued(table: pd.DataFrame, metric: str, value: str) -> pd.DataFrame:
    return table[(table["metric"] == metric) & table[value].notna()]


def searched(study: Study, numbers: Numbers) -> str:
    """How many configurations were tried before the test set was opened, and what it flattered."""
    lines = []
    for arm, trials in study.trials.groupby("arm", sort=False):
        states = trials["state"].value_counts()
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        lines.append(
            f"{arm}: {len(trials)} configurations were searched on validation data ({told})."
        )
        cells = study.of_arm(str(arm))
        if cells:
            names = ", ".join(f"{cell.label} ({cell.setting})" for cell in cells)
            lines.append(f"Trained again, with fresh seeds: {names}.")
        lines += _flattered(study, numbers, study.representative(str(arm)))
    return " ".join(lines)


def _flattered(study: Study, numbers: Numbers, cell: Cell | None) -> list[str]:
    """Of the finalist that stands for an arm: a sentence per objective that it has values of.

    All values are of one configuration. What its trial had above the fresh seeds, on the same
    validation patients, is the luck of the search; what these have above the test patients is
    optimism, as everywhere.
    """
    trial = study.trial(cell) if cell else None
    if cell is None or trial is None or study.config.search is None:
        return []
    lines = []
    for objective in study.config.search.objectives:
        metric = objective.removeprefix("val.")
        searched, again = float(trial[objective]), cell.validation(metric)
        if again is not None and (gap := optimism(numbers, cell, metric)) is not None:
            lines.append(
                f"{text.metric_name(metric)} of {cell.label}: "
                f"{text.percent(searched)} in the search, "
                f"{text.percent(again)} with fresh seeds on the same validation patients (the "
                f"search’s luck: {text.signed(searched - again)} points), "
                f"{text.percent(numbers.value(cell, metric))} on the test patients (optimism: "
                f"{text.signed(gap)} points)."
            )
    return lines


def undefined(study: Study, numbers: Numbers) -> str:
    """The metric that most resamples leave undefined."""
    rows = numbers.estimates
    rows = rows[rows["n_undefined"].fillna(0) > 0]
    if rows.empty:
        return ""
    worst = rows.sort_values("n_undefined").iloc[-1]
    label = {cell.name: cell.label for cell in study.complete}[worst["cell"]]
    return (
        "Resamples in which a metric is undefined are left out: at most "
        f"{worst['n_undefined']:,.0f} of {study.config.compare.resamples:,} "
        f"({text.metric_name(worst['metric'])} of {label})."
    )


def missing(study: Study) -> str:
    """What the design asks for and is not there."""
    if not study.missing:
        return ""
    return f"Missing, since their runs are not complete: {'; '.join(study.missing)}."
