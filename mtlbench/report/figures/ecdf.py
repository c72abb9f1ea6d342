"""Dice of single images: the share of the test images that reach each value, a curve per arm."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from mtlbench.analysis.profile import dice_of_images, dice_profile
from mtlbench.report.collect import Cell, Study
from mtlbench.report.figures.bands import banded, bands_caption
from mtlbench.report.figures.style import Drawn
from mtlbench.report.numbers import Numbers
from mtlbench.report.text import percent


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """One curve for each arm (or cell where no cell stands for its arm) that segments."""
    cells = tuple(cell for cell in study.shown if numbers.value(cell, "dice_any") is not None)
    if not cells:
        return
    means = [float(np.nanmean(dice_of_images(cell.frame))) for cell in cells]
    labels = [
        f"{cell.label} (mean {percent(mean)} %)" for cell, mean in zip(cells, means, strict=True)
    ]
    figure, axis, data = banded(study, cells, labels, _measure)
    axis.set(xlabel="Any-lesion Dice of an image, t", ylabel="Images with Dice ≥ t")
    axis.set_xlim(-0.01, 1.01)
    axis.grid()
    yield Drawn(
        "ecdf",
        figure,
        data,
        "Share of the test images whose Dice of any lesion against healthy is t or more, the mean "
        "over seeds; of the images with a lesion in the truth alone, one without a predicted "
        "lesion counts 0; in the legend: the mean over these images, the area below the curve, "
        "not the Dice of all pixels pooled; "
        f"{bands_caption(study, numbers, len(cells))}.",
        f"Share of images that reach each Dice, of {', '.join(cell.label for cell in cells)}",
    )


def _measure(cell: Cell, **settings: Any) -> pd.DataFrame:
    return dice_profile(cell.frame, **settings)
