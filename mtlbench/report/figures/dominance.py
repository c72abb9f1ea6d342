"""A panel of the AUC-Dice plane: how likely each cell dominates each other one."""

from collections.abc import Sequence
from itertools import product

import pandas as pd
from matplotlib.axes import Axes

from mtlbench.report.collect import Cell
from mtlbench.report.figures.style import wrapped
from mtlbench.report.text import DASH

LEAST_CELLS, MOST_CELLS = 3, 8
"""That a panel is worth and that are readable in it; else the numbers stand in the CSV alone."""
LEAST_WIDTH = 4
"""Columns that the panel has room for: three do not fill it."""


def matrix(axis: Axes, cells: Sequence[Cell], dominance: pd.DataFrame) -> None:
    """P(row dominates column) in percent, the darker the likelier."""
    places = {cell.name: i for i, cell in enumerate(cells)}
    p_AA = [[0.0] * len(cells) for _ in cells]
    for row in dominance.to_dict("records"):
        p_AA[places[row["arm"]]][places[row["other"]]] = 100 * row["p"]
    axis.imshow(p_AA, cmap="Greys", vmin=0, vmax=160)  # no cell too dark for black text
    for i, j in product(range(len(cells)), repeat=2):
        text = DASH if i == j else f"{p_AA[i][j]:.0f}"
        axis.text(j, i, text, ha="center", va="center", fontsize=7)
    labels = [wrapped(label, 14) for label in _labels(cells)]
    axis.set_yticks(range(len(cells)), labels)
    axis.set_xticks(range(len(cells)), labels, rotation=90)
    axis.set_xlim(-0.5, max(len(cells), LEAST_WIDTH) - 0.5)
    axis.set_xlabel("P(row dominates column), %", loc="left")
    axis.set_anchor("N")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _labels(cells: Sequence[Cell]) -> list[str]:
    """Without the arm where it is the same throughout."""
    if len({cell.arm for cell in cells}) > 1:
        return [cell.label for cell in cells]
    return [cell.label.removeprefix(f"{cell.arm} [").removesuffix("]") for cell in cells]
