"""Dice of single images: the share of the test images that reach each value, a curve per arm."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from mtlbench.analysis import dice_profile
from mtlbench.report.collect import Cell, Study
from mtlbench.report.figures.bands import banded, bands_caption
from mtlbench.report.figures.style import Drawn
from mtlbench.report.numbers import Numbers


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """One curve for each arm (or cell where no cell stands for its arm) that segments."""
    cells = tuple(cell for cell in study.shown if numbers.value(cell, "dice_any") is not None)
    if not cells:
        return
    figure, axis, data = banded(study, numbers, cells, _measure, "dice_any")
    axis.set(xlabel="Dice of an image, t", ylabel="Images with Dice ≥ t", xlim=(-0.01, 1.01))
    axis.grid()
    yield Drawn(
        "ecdf",
        figure,
        data,
        "Share of the test images whose Dice of any lesion against healthy is t or more, the mean "
        "over seeds; of the images with a lesion in the truth alone, one without a predicted "
        "lesion counts 0; in the legend: the Dice of all test pixels pooled; "
        f"{bands_caption(study, numbers, len(cells))}.",
        f"Share of images that reach each Dice, of {', '.join(cell.label for cell in cells)}",
    )


def _measure(cell: Cell, **settings: Any) -> pd.DataFrame:
    return dice_profile(cell.frame, **settings)
