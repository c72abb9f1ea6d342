"""Reliability diagram per arm: the fraction of cancers against the score, and the scores below."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlbench.analysis import calibration_curve
from mtlbench.report.collect import Study
from mtlbench.report.figures.bands import standing
from mtlbench.report.figures.style import GREY, ONE_COLUMN, TWO_COLUMNS, Drawn, colours, wrapped
from mtlbench.report.numbers import Numbers
from mtlbench.report.text import level_text

COLUMNS = 4
"""Diagrams beside each other."""
HEIGHT = 2.35
"""Of a row of diagrams, in inches."""

FEW = 10
"""Cases in a bin below which its fraction says little."""


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """A diagram for each arm (or cell where no cell stands for its arm) that classifies."""
    cells = tuple(cell for cell in study.shown if numbers.value(cell, "auc") is not None)
    if not cells:
        return
    level = study.config.compare.level
    curves = [calibration_curve(cell.frame, level=level) for cell in cells]
    figure, upper, lower = _grid(len(cells))
    most = max(curve["n"].max() for curve in curves)
    for i, (cell, curve) in enumerate(zip(cells, curves, strict=True)):
        colour = colours(study)[cell.arm]
        _diagram(upper[i], curve, colour)
        upper[i].set_title(wrapped(cell.label, 26))
        lower[i].bar(curve["bin"] + 0.05, curve["n"], 0.09, color=colour, alpha=0.6)
        lower[i].set_ylim(0, 1.05 * most)
    parts = [
        curve.assign(cell=cell.name)[["cell", *curve]]
        for cell, curve in zip(cells, curves, strict=True)
    ]
    yield Drawn(
        "calibration",
        figure,
        pd.concat(parts),
        "Calibration: the fraction of cancers among the cases of a bin of scores against their "
        "mean score, and the number of cases in the bin below (both means over seeds). Lines: "
        f"{level_text(level)} Wilson intervals, each bin by itself, of its effective number of "
        f"patients (as if all of a patient’s cases in it were alike); hollow: fewer than {FEW} "
        "cases; dotted: perfect calibration "
        f"({standing(study, numbers)}).",
        f"Reliability diagrams of {', '.join(cell.label for cell in cells)}",
    )


def _grid(n: int) -> tuple[Figure, list[Axes], list[Axes]]:
    """Axes of n diagrams, and of the scores below each."""
    columns = min(COLUMNS, n)
    rows = -(-n // columns)
    figure = Figure(figsize=(ONE_COLUMN if columns < 3 else TWO_COLUMNS, 0.25 + HEIGHT * rows))
    grid = figure.subplots(
        2 * rows, columns, squeeze=False, sharex=True, height_ratios=[3, 1] * rows
    )
    upper, lower = grid[::2].ravel(), grid[1::2].ravel()
    for axis in [*upper[n:], *lower[n:]]:
        axis.set_visible(False)
    for axis in lower:
        axis.set(xlabel="Score", xlim=(-0.02, 1.02))
        axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axis.tick_params(labelbottom=True)
    for axes, name in ((upper, "Fraction of cancers"), (lower, "Cases")):
        for i, axis in enumerate(axes):
            axis.tick_params(labelleft=i % columns == 0)
            axis.set_ylabel("" if i % columns else name)
    return figure, list(upper[:n]), list(lower[:n])


def _diagram(axis: Axes, curve: pd.DataFrame, colour: str) -> None:
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.6, linestyle=":")
    axis.vlines(curve["score"], curve["low"], curve["high"], color=colour, linewidth=0.9)
    axis.plot(curve["score"], curve["fraction"], color=colour, linewidth=0.6)
    for part, face in ((curve["n"] >= FEW, colour), (curve["n"] < FEW, "white")):
        points = curve[part]
        axis.plot(points["score"], points["fraction"], "o", color=colour, mfc=face, markersize=3)
    axis.set(ylim=(-0.02, 1.02))
    axis.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    axis.grid(axis="y")
