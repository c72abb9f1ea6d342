"""Seed swarm: the value of each seed below the mean over seeds with its interval."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlbench.report.collect import Study
from mtlbench.report.figures.style import (
    TWO_COLUMNS,
    Drawn,
    colours,
    metric_label,
    rows_height,
    widen,
    wrapped,
)
from mtlbench.report.notes import basis
from mtlbench.report.numbers import Numbers
from mtlbench.report.text import METRIC_NAMES, absent

BELOW, LAYER = 0.22, 0.13
"""Distance of the first seeds from their mean, and of seeds that would overlap, in rows."""
NEAR = 0.05
"""Seeds closer than this share of what is drawn would overlap."""


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """Rows are the shown cells, panels the metrics; nothing where no cell has two seeds."""
    cells = tuple(cell for cell in study.shown if len(cell.seeds) > 1)
    metrics = [m for m in numbers.metrics() if any(numbers.value(c, m) is not None for c in cells)]
    if not metrics:
        return
    data = pd.DataFrame(
        [
            {"cell": cell.name, "arm": cell.arm, "metric": metric, **row}
            for cell in cells
            for metric in metrics
            if not absent((mean := numbers.estimate[cell.name, metric])["value"])
            for row in [
                {key: mean[key] for key in ("value", "low", "high")},
                *(
                    {"seed": seed, "value": value}
                    for seed, value in zip(
                        cell.seeds, numbers.seeds[cell.name, metric], strict=True
                    )
                ),
            ]
        ]
    ).astype({"seed": "Int64"})
    labels = [wrapped(cell.label) for cell in cells]
    figure = Figure(figsize=(TWO_COLUMNS, 0.7 + rows_height(labels, 0.36)))
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axis, metric in zip(axes, metrics, strict=True):
        _panel(axis, study, data[data["metric"] == metric], [cell.name for cell in cells])
        axis.set_xlabel(metric_label(metric))
    axes[0].set_yticks(range(len(cells)), labels)
    axes[0].set_ylim(max(axis.dataLim.ymax for axis in axes) + BELOW, -0.5)
    yield Drawn(
        "swarm",
        figure,
        data,
        "Rings: the value of each seed; above them their mean with its interval "
        f"({basis(study, numbers, numbers.estimates)}).",
        f"Seeds of {len(cells)} cells in {', '.join(METRIC_NAMES[m] for m in metrics)}",
    )


def _panel(axis: Axes, study: Study, data: pd.DataFrame, names: Sequence[str]) -> None:
    for _, mean in data[data["seed"].isna()].iterrows():
        y, colour = names.index(mean["cell"]), colours(study)[mean["arm"]]
        axis.plot([100 * mean["low"], 100 * mean["high"]], [y, y], color=colour)
        axis.plot(100 * mean["value"], y, "o", color=colour, markersize=4)
    drawn = 100 * data[["value", "low", "high"]].to_numpy(float)
    for name, seeds in data[data["seed"].notna()].groupby("cell"):
        x, first = sorted(100 * seeds["value"]), names.index(str(name)) + BELOW
        places = [
            first + LAYER * layer
            for layer in _layers(x, float(np.nanmax(drawn) - np.nanmin(drawn)))
        ]
        colour = colours(study)[seeds["arm"].iloc[0]]
        axis.plot(x, places, "o", mfc="white", mec=colour, mew=0.6, ms=2.8)
    widen(axis, "x", least=0)
    axis.grid(axis="x")
    axis.tick_params(axis="y", length=0)


def _layers(x: Sequence[float], width: float) -> list[int]:
    """The first layer for each value, from the left, in which it touches no other."""
    last: list[float] = []
    layers = []
    for value in x:
        free = (i for i, end in enumerate(last) if value - end >= NEAR * width)
        layer = next(free, len(last))
        last[layer : layer + 1] = [value]
        layers.append(layer)
    return layers
