"""Precision-recall curve per arm: the mean over seeds with its band of resampled patients."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from mtlbench.analysis import pr_band
from mtlbench.report.collect import Cell, Study
from mtlbench.report.figures.bands import banded, bands_caption, with_metric
from mtlbench.report.figures.style import GREY, Drawn
from mtlbench.report.numbers import Numbers
from mtlbench.report.text import percent


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """One curve for each arm (or cell where no cell stands for its arm) that classifies."""
    cells = tuple(cell for cell in study.shown if numbers.value(cell, "auc") is not None)
    if not cells:
        return
    labels = with_metric(numbers, cells, "ap")
    figure, axis, data = banded(study, cells, labels, _measure)
    share = float(cells[0].frame["label"].mean())
    axis.axhline(share, color=GREY, linewidth=0.6, linestyle=":")
    axis.set(xlabel="Recall", ylabel="Precision", aspect="equal", xlim=(-0.01, 1.01))
    yield Drawn(
        "pr",
        figure,
        data,
        "Precision-recall curves, the mean precision over seeds at the strictest threshold that "
        f"reaches a recall; dotted: chance, the {percent(share)} % of the cases that are positive; "
        f"{bands_caption(study, numbers, len(cells))}.",
        f"Precision-recall curves of {', '.join(cell.label for cell in cells)}",
    )


def _measure(cell: Cell, **settings: Any) -> pd.DataFrame:
    return pr_band(cell.frame, **settings)
