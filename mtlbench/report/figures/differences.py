"""Paired differences from the baseline, with intervals and Holm's p."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlbench.report.collect import Cell, Study
from mtlbench.report.figures.style import (
    GREY,
    HALO,
    TWO_COLUMNS,
    Drawn,
    colours,
    mark,
    rows_height,
    widen,
    wrapped,
)
from mtlbench.report.notes import basis
from mtlbench.report.numbers import Numbers, Row
from mtlbench.report.tables import ADJUSTED
from mtlbench.report.text import METRIC_NAMES, absent, p_equation

COLUMNS = ("cell", "arm", "baseline", "metric", "difference", "low", "high", "p_adjusted", "margin")
"""Of the data that are drawn."""
NOT_RELIABLE = "p n.r."
"""Stands for a p that the tables call unreliable."""


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """Rows are the cells that any metric compares; nothing where no metric has a baseline."""
    metrics = [m for m in METRIC_NAMES if any(metric == m for _, metric in numbers.comparison)]
    compared = {name for name, _ in numbers.comparison}
    cells = tuple(cell for cell in study.complete if cell.name in compared)
    if not cells:
        return
    labels = [wrapped(cell.label) for cell in cells]
    figure = Figure(figsize=(TWO_COLUMNS, 1.1 + rows_height(labels, 0.27)))
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axis, metric in zip(axes, metrics, strict=True):
        _panel(axis, study, numbers, metric, cells)
    axes[0].set_yticks(range(len(cells)), labels)
    axes[0].set_ylim(len(cells) - 0.5, -0.65)
    margin = "; dashed: margin of non-inferiority" if study.config.compare.margins else ""
    drawn = [row for (_, metric), row in numbers.comparison.items() if metric in metrics]
    bare = any(absent(row["low"]) for row in drawn)
    doubtful = any(_p(row) == NOT_RELIABLE for row in drawn)
    hollow = "; hollow dots: no interval" if bare else ""
    doubt = f"; {NOT_RELIABLE}: not reliable, the data are too few for a p" if doubtful else ""
    yield Drawn(
        "differences",
        figure,
        pd.DataFrame([{key: row[key] for key in COLUMNS} for row in drawn]),
        "Paired differences from the baseline on the same patients; p is adjusted "
        f"over all cells within one metric by {ADJUSTED[study.config.compare.adjust]}"
        f"{doubt}{margin}{hollow} "
        f"({basis(study, numbers, numbers.comparisons)}).",
        f"Differences from the baseline in {', '.join(METRIC_NAMES[m] for m in metrics)}",
    )


def _panel(
    axis: Axes, study: Study, numbers: Numbers, metric: str, cells: tuple[Cell, ...]
) -> None:
    palette = colours(study)
    axis.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    margin = study.config.compare.margins.get(metric)
    if margin is not None:
        axis.axvline(-100 * margin, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    for y, cell in enumerate(cells):
        row = numbers.comparison.get((cell.name, metric))
        if row is None:
            continue
        value, colour = 100 * row["difference"], palette[cell.arm]
        bare = absent(row["low"])
        if not bare:
            axis.plot([100 * row["low"], 100 * row["high"]], [y, y], color=colour)
        mark(axis, value, y, colour, bare=bare)
    base = numbers.baselines[metric]
    against = f"against {base.label if base else ''}"
    axis.set_xlabel(f"Δ {METRIC_NAMES[metric]}\n(points)\n{wrapped(against, 16)}")
    axis.margins(x=0.16)
    widen(axis, "x")
    axis.grid(axis="x")
    axis.tick_params(axis="y", length=0)
    for y, cell in enumerate(cells):
        row = numbers.comparison.get((cell.name, metric))
        if row is not None and (p := _p(row)):
            _write_p(axis, 100 * row["difference"], y, p)


def _p(row: Row) -> str:
    """What is written of p: its value, that it is not reliable, or nothing where there is none."""
    if absent(row["p_adjusted"]):
        return ""
    if not row["reliable"]:
        return NOT_RELIABLE
    return p_equation(row["p_adjusted"])


def _write_p(axis: Axes, x: float, y: int, p: str) -> None:
    """Above the point; near an edge of the panel it runs inwards, so that it stays in there."""
    low, high = axis.get_xlim()
    side = min(int(3 * (x - low) / (high - low)), 2)
    axis.annotate(
        p,
        (x, y),
        (0, 4.5),
        textcoords="offset points",
        ha=("left", "center", "right")[side],
        fontsize=7,
        path_effects=[HALO],
    )
