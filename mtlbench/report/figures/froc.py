"""FROC curve per arm: lesions found against false positives per image, with its band."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from mtlbench.analysis import froc_band
from mtlbench.report.collect import Cell, Study
from mtlbench.report.figures.bands import banded, bands_caption, with_metric
from mtlbench.report.figures.style import Drawn
from mtlbench.report.numbers import Numbers
from mtlbench.report.text import absent

METRIC = "froc"
TICKS = (0.125, 0.25, 0.5, 1, 2, 4, 8)


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """One curve for each arm (or cell where no cell stands for its arm) that localises."""
    cells = tuple(
        cell
        for cell in study.shown
        if not absent(numbers.estimate.get((cell.name, METRIC), {}).get("value"))
    )
    if not cells:
        return
    labels = with_metric(numbers, cells, METRIC)
    figure, axis, data = banded(study, cells, labels, _measure)
    axis.set_xscale("log")
    axis.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axis.set_xticks([], minor=True)
    axis.set(xlabel="False positives per image", ylabel="Lesion sensitivity")
    axis.set_xlim(0.96 * TICKS[0], 1.05 * max(TICKS[1], data["false_positives"].max()))
    axis.grid()
    yield Drawn(
        "froc",
        figure,
        data,
        "FROC curves: share of the lesions that a candidate hits against false candidates per "
        "image with a mask, the mean over seeds; a line ends at its last candidate, and for the "
        "FROC score is level from there; "
        f"{bands_caption(study, numbers, len(cells))}.",
        f"FROC curves of {', '.join(cell.label for cell in cells)}",
    )


def _measure(cell: Cell, **settings: Any) -> pd.DataFrame:
    assert cell.findings is not None
    return froc_band(cell.frame, cell.findings, **settings)
