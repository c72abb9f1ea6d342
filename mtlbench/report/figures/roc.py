"""ROC curve per arm: the mean over seeds with its band of resampled patients."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from mtlbench.analysis import roc_band
from mtlbench.report.collect import Cell, Study
from mtlbench.report.figures.bands import banded, bands_caption, with_metric
from mtlbench.report.figures.style import GREY, Drawn
from mtlbench.report.numbers import Numbers


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """One curve for each arm (or cell where no cell stands for its arm) that classifies."""
    cells = tuple(cell for cell in study.shown if numbers.value(cell, "auc") is not None)
    if not cells:
        return
    labels = with_metric(numbers, cells, "auc")
    figure, axis, data = banded(study, cells, labels, _measure)
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.6, linestyle=":")
    axis.set(xlabel="False-positive rate", ylabel="Sensitivity", aspect="equal")
    axis.set(xlim=(-0.01, 1.01))
    yield Drawn(
        "roc",
        figure,
        data,
        "ROC curves, the mean sensitivity over seeds; dotted: chance; "
        f"{bands_caption(study, numbers, len(cells))}.",
        f"ROC curves of {', '.join(cell.label for cell in cells)}",
    )


def _measure(cell: Cell, **settings: Any) -> pd.DataFrame:
    return roc_band(cell.frame, **settings)
