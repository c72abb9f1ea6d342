"""An arm that sweeps two keys: each metric over their grid."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mtlbench.report.collect import Cell, Study, short_key, short_value
from mtlbench.report.figures.style import GREY, TWO_COLUMNS, Drawn, letters, wrapped
from mtlbench.report.notes import basis
from mtlbench.report.numbers import Numbers
from mtlbench.report.text import METRIC_NAMES, percent

SHOWN = ("auc", "dice", "dice_lesions")
MAP = "cividis"
"""Perceptually uniform, and nearly the same to eyes with and without colour deficiency."""
MOST_GRIDS = 4
"""Rows of panels in a figure, so that it fits on a page."""
DARK = 0.46
"""Brightness below which white has more contrast than black (WCAG: luminance 0.18)."""


@dataclass(frozen=True, slots=True)
class _Grid:
    """Cells at one combination of the keys after the first two, by (first, second) value."""

    rest: str
    cells: dict[tuple[str, str], Cell]


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """A figure per arm, `heatmap_<arm>`: rows are combinations of its further keys."""
    for arm in study.config.arms:
        cells = study.of_arm(arm.name)
        keys = list(dict.fromkeys(key for cell in cells for key in cell.values))
        metrics = [m for m in SHOWN if any(numbers.value(cell, m) is not None for cell in cells)]
        if len(keys) < 2 or not metrics:
            continue
        grids = _grids(cells, keys)
        for start in range(0, len(grids), MOST_GRIDS):
            number = f"_{start // MOST_GRIDS + 1}" * (len(grids) > MOST_GRIDS)
            part = grids[start : start + MOST_GRIDS]
            yield _figure(study, numbers, f"heatmap_{arm.name}{number}", keys, metrics, part)


def _grids(cells: Sequence[Cell], keys: Sequence[str]) -> list[_Grid]:
    first, second, *others = keys
    grids: dict[str, _Grid] = {}
    for cell in cells:
        rest = ", ".join(f"{short_key(k)}={short_value(cell.values.get(k, ''))}" for k in others)
        at = cell.values.get(first, ""), cell.values.get(second, "")
        grids.setdefault(rest, _Grid(rest, {})).cells[at] = cell
    return list(grids.values())


def _figure(
    study: Study,
    numbers: Numbers,
    name: str,
    keys: Sequence[str],
    metrics: Sequence[str],
    grids: Sequence[_Grid],
) -> Drawn:
    places = [at for grid in grids for at in grid.cells]
    ticks = [_ordered([at[i] for at in places]) for i in (0, 1)]
    row_height = min(max(0.26 * len(ticks[1]), 0.8), 4.0) + 0.6
    figure = Figure(figsize=(TWO_COLUMNS, 0.35 + row_height * len(grids)))
    axes_GM = figure.subplots(len(grids), len(metrics), squeeze=False)
    for m, metric in enumerate(metrics):
        known = [v for g in grids for c in g.cells.values() if (v := numbers.value(c, metric))]
        scale = Normalize(100 * min(known, default=0), 100 * max(known, default=1))
        for g, grid in enumerate(grids):
            axis = axes_GM[g, m]
            _panel(axis, study, numbers, metric, grid, ticks, scale)
            axis.set_xlabel(short_key(keys[0]))
            if m == 0:
                axis.set_ylabel("\n".join(filter(None, [wrapped(grid.rest), short_key(keys[1])])))
        bar = figure.colorbar(mpl.cm.ScalarMappable(scale, MAP), ax=axes_GM[:, m], fraction=0.05)
        bar.set_label(f"{METRIC_NAMES[metric]} (%)")
        bar.outline.set_visible(False)
        bar.ax.locator_params(nbins=4)
    letters(list(axes_GM.flat))
    chosen = any(study.is_chosen(cell) for grid in grids for cell in grid.cells.values())
    frame = f" Framed: the cell that {study.config.compare.choose} chooses." if chosen else ""
    return Drawn(
        name,
        figure,
        _data(study, numbers, keys, metrics, grids),
        f"Test metrics over {keys[0]} and {keys[1]}, in percent; intervals are in the CSV."
        f"{frame} ({basis(study, numbers, numbers.estimates)}).",
        f"{', '.join(METRIC_NAMES[m] for m in metrics)} over {keys[0]} and {keys[1]}",
    )


def _ordered(values: Sequence[str]) -> list[str]:
    """Numbers by size, names as the design has them."""
    names = list(dict.fromkeys(values))
    try:
        return sorted(names, key=float)
    except ValueError:
        return names


def _panel(
    axis: Axes,
    study: Study,
    numbers: Numbers,
    metric: str,
    grid: _Grid,
    ticks: Sequence[Sequence[str]],
    scale: Normalize,
) -> None:
    """The first key to the right, the second upwards; a value that is missing is a dash."""
    columns, rows = ticks
    values = np.full((len(rows), len(columns)), np.nan)
    for (one, two), cell in grid.cells.items():
        x, y = columns.index(one), rows.index(two)
        value = numbers.value(cell, metric)
        values[y, x] = np.nan if value is None else 100 * value
        if study.is_chosen(cell):
            edge = Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, fill=False, ec="#D55E00", lw=2)
            axis.add_patch(edge)
    axis.imshow(values, cmap=MAP, norm=scale, origin="lower", aspect="auto")
    for (y, x), value in np.ndenumerate(values):
        axis.text(x, y, percent(value / 100), ha="center", va="center", fontsize=7,
                  color=_readable(float(scale(value))))  # fmt: skip
    axis.set_xticks(range(len(columns)), map(short_value, columns))
    axis.set_yticks(range(len(rows)), map(short_value, rows))
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _readable(level: float) -> str:
    """White on dark, black on light, grey where there is no colour."""
    if np.isnan(level):
        return GREY
    red, green, blue, _ = mpl.colormaps[MAP](level)
    return "white" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < DARK else "black"


def _data(
    study: Study,
    numbers: Numbers,
    keys: Sequence[str],
    metrics: Sequence[str],
    grids: Sequence[_Grid],
) -> pd.DataFrame:
    """A row per cell and metric, with its interval."""
    rows = []
    for cell in (cell for grid in grids for cell in grid.cells.values()):
        for metric in metrics:
            row = numbers.estimate[cell.name, metric]
            rows.append(
                {
                    "cell": cell.name,
                    **{key: cell.values.get(key, "") for key in keys},
                    "metric": metric,
                    **{name: row[name] for name in ("value", "low", "high")},
                    "chosen": study.is_chosen(cell),
                }
            )
    return pd.DataFrame(rows)
