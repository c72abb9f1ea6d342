"""What a search tried: each searched key against the validation objective, and the Pareto front."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from mtlbench.report.collect import Study, short_key
from mtlbench.report.figures.style import GREY, PALETTE, TWO_COLUMNS, Drawn, wrapped
from mtlbench.report.importance import metric_label

HEIGHT = 1.6
"""Of a row of panels, in inches."""
COLUMNS, MOST_TICKS = 3, 4
"""Of panels, and of decades on a logarithmic axis: numbers like 0.0001 have no room for more."""


def draw(study: Study) -> Iterator[Drawn]:
    """A figure per arm that was searched, named `trials_<arm>`; rows are the objectives."""
    if study.config.search is None:
        return
    objectives: list[str] = list(study.config.search.objectives)
    for arm in study.config.arms:
        trials = study.trials[study.trials["arm"] == arm.name]
        complete = trials[trials["state"] == "complete"]
        if arm.search and not complete.empty:
            finalists = {cell.name for cell in study.of_arm(arm.name)}
            chosen = complete["cell"].isin(finalists)
            yield _figure(arm.name, list(arm.search), objectives, complete, chosen)


def _figure(
    arm: str, keys: list[str], objectives: list[str], trials: pd.DataFrame, chosen: pd.Series
) -> Drawn:
    pairs = [(key, objective) for objective in objectives for key in keys]
    pairs += [tuple(objectives)] if len(objectives) > 1 else []  # type: ignore[list-item]
    columns = min(COLUMNS, len(pairs))
    rows = -(-len(pairs) // columns)
    figure = Figure(figsize=(TWO_COLUMNS, 0.3 + HEIGHT * rows))
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis, (x, y) in zip(axes, pairs, strict=False):
        _panel(axis, trials, x, y, chosen)
    for axis in axes[len(pairs) :]:
        axis.set_visible(False)
    return Drawn(
        f"trials_{arm}",
        figure,
        trials[["trial", *keys, *objectives]].assign(finalist=chosen),
        f"The {len(trials)} complete trials of {arm} on validation data; filled: the finalists, "
        "which are trained again with fresh seeds.",
        f"Scatter of {', '.join(map(metric_label, objectives))} against {', '.join(keys)}",
    )


def _panel(axis: Axes, trials: pd.DataFrame, x: str, y: str, chosen: pd.Series) -> None:
    known = trials[x] != ""  # a conditional key may not have been asked for
    down = 100 * trials.loc[known, y].astype(float)
    across = _across(axis, trials.loc[known, x], x)
    picked = chosen[known]
    axis.scatter(across[~picked], down[~picked], s=12, facecolor="none", edgecolor=GREY, lw=0.8)
    axis.scatter(across[picked], down[picked], s=22, color=PALETTE[1], zorder=3)
    axis.set_xlabel(wrapped(_name(x), 24))
    axis.set_ylabel(wrapped(_name(y), 18))
    axis.grid(axis="y")


def _across(axis: Axes, column: pd.Series, key: str) -> pd.Series:
    """Positions of a key's values; logarithmic over more than a decade, places for names."""
    try:
        values = column.astype(float)
    except ValueError:
        names = sorted(column.unique())
        labels = [wrapped(name, 10) for name in names]
        axis.set_xticks(range(len(names)), labels, rotation=30, ha="right")
        return column.map(names.index)
    if key.startswith("val."):
        return 100 * values
    decades = np.log10(values.max() / values.min()) if values.min() > 0 else 0
    if decades > 1:
        axis.set_xscale("log")
        subs = (1.0, 3.0) if decades < 2 else (1.0,)
        axis.xaxis.set_major_locator(LogLocator(subs=subs, numticks=MOST_TICKS))
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
    return values


def _name(key: str) -> str:
    return f"Validation {metric_label(key)} (%)" if key.startswith("val.") else short_key(key)
