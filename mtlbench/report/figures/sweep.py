"""A metric along a varied key: a curve with a band for numbers, points for names."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlbench.report.collect import Cell, Study, short_key
from mtlbench.report.figures.style import (
    GREY,
    PALETTE,
    TWO_COLUMNS,
    Drawn,
    colours,
    letters,
    place_legend,
    widen,
    wrapped,
)
from mtlbench.report.notes import basis
from mtlbench.report.numbers import Numbers
from mtlbench.report.text import METRIC_NAMES, absent

SHOWN = ("auc", "dice", "dice_lesions", "dice_any")
WIDE = 50
"""Ratio of the largest to the smallest value from which the axis is logarithmic."""
MAX_TICKS = 6
STEP = 0.12
"""Distance between the lines' points of one name, in units of the axis."""


@dataclass(frozen=True, slots=True)
class _Line:
    """Cells of one arm that differ in the swept key alone."""

    label: str
    colour: str
    cells: tuple[Cell, ...]
    x: tuple[float, ...]


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """A figure per varied key, named `sweep_<key>`."""
    for key in study.varied:
        cells = [cell for cell in study.complete if key in cell.values]
        metrics = [m for m in SHOWN if any(numbers.value(c, m) is not None for c in cells)]
        if not metrics:
            continue
        names = list(dict.fromkeys(cell.values[key] for cell in cells))
        lines = _lines(study, cells, key, names)
        figure = Figure(figsize=(TWO_COLUMNS, 2.6 if _numeric(names) else 3.0))
        axes = list(figure.subplots(1, len(metrics), squeeze=False)[0])
        for axis, metric in zip(axes, metrics, strict=True):
            for line in lines:
                _draw_line(axis, line, numbers, metric, joined=_numeric(names))
            _draw_baseline(axis, numbers, key, metric)
            _scale(axis, names)
            widen(axis, "y", least=0)
            axis.grid(axis="y")
            axis.set(xlabel=short_key(key), ylabel=f"{METRIC_NAMES[metric]} (%)")
        letters(axes)
        place_legend(figure, axes)
        yield Drawn(
            f"sweep_{key.replace('.', '_')}",
            figure,
            _data(lines, key, metrics, numbers),
            f"Test metrics along {key} with pointwise intervals; rings: single seeds, dashed "
            f"lines: the baselines ({basis(study, numbers, numbers.estimates)}).",
            f"{', '.join(METRIC_NAMES[m] for m in metrics)} along {key}",
        )


def _data(
    lines: Sequence[_Line], key: str, metrics: Sequence[str], numbers: Numbers
) -> pd.DataFrame:
    """A row per cell and metric with its interval, then one per seed, which has none."""
    rows: list[dict[str, object]] = []
    for line in lines:
        for cell, metric in itertools.product(line.cells, metrics):
            row = numbers.estimate[cell.name, metric]
            if absent(row["value"]):
                continue
            place = {"line": line.label, "cell": cell.name, key: cell.values[key], "metric": metric}
            rows.append({**place, **{name: row[name] for name in ("value", "low", "high")}})
            of_seeds = zip(cell.seeds, numbers.seeds[cell.name, metric], strict=True)
            rows += [{**place, "seed": seed, "value": value} for seed, value in of_seeds]
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def _lines(study: Study, cells: Sequence[Cell], key: str, names: Sequence[str]) -> list[_Line]:
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        rest = [f"{short_key(k)}={v}" for k, v in cell.values.items() if k != key]
        groups.setdefault(f"{cell.arm} [{', '.join(rest)}]" if rest else cell.arm, []).append(cell)
    one_each = len({cells[0].arm for cells in groups.values()}) == len(groups)
    lines = []
    for i, (label, group) in enumerate(groups.items()):
        colour = colours(study)[group[0].arm] if one_each else PALETTE[i % len(PALETTE)]
        if _numeric(names):
            group.sort(key=lambda cell: float(cell.values[key]))
            x = tuple(float(cell.values[key]) for cell in group)
        else:
            shift = STEP * (i - (len(groups) - 1) / 2)
            x = tuple(names.index(cell.values[key]) + shift for cell in group)
        lines.append(_Line(label, colour, tuple(group), x))
    return lines


def _draw_line(axis: Axes, line: _Line, numbers: Numbers, metric: str, *, joined: bool) -> None:
    rows = [numbers.estimate[cell.name, metric] for cell in line.cells]
    value, low, high = (
        [float("nan") if absent(row[key]) else 100 * row[key] for row in rows]
        for key in ("value", "low", "high")
    )
    if joined:
        axis.fill_between(line.x, low, high, color=line.colour, alpha=0.18, linewidth=0)
    else:
        axis.vlines(line.x, low, high, color=line.colour)
    style = "-o" if joined else "o"
    axis.plot(line.x, value, style, color=line.colour, markersize=3.5, label=line.label)
    for x, cell in zip(line.x, line.cells, strict=True):
        dots = [100 * one for one in numbers.seeds[cell.name, metric]]
        axis.plot([x] * len(dots), dots, "o", mfc="white", mec=line.colour, mew=0.6, ms=2.6)


def _draw_baseline(axis: Axes, numbers: Numbers, key: str, metric: str) -> None:
    """A dashed line where the baseline is not itself a point of the curve."""
    base = numbers.baselines[metric]
    if base is None or key in base.values:
        return
    value = 100 * (numbers.value(base, metric) or 0)
    axis.axhline(value, color=GREY, linestyle="--", linewidth=0.8, zorder=0)
    place: Any = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    label = wrapped(base.label, 10)
    axis.annotate(label, (1, value), (2, 0), color=GREY, fontsize=7, va="center", **place)


def _scale(axis: Axes, names: Sequence[str]) -> None:
    """Ticks where there are values, if they are few; logarithmic where they span decades."""
    if not _numeric(names):
        axis.set_xticks(range(len(names)), names, rotation=30, ha="right")
        axis.set_xlim(-0.5, len(names) - 0.5)
        return
    values = sorted(map(float, names))
    if values[0] > 0 and values[-1] / values[0] >= WIDE:
        axis.set_xscale("log")
    if len(values) <= MAX_TICKS:
        axis.set_xticks(values, [f"{value:g}" for value in values])
        axis.set_xticks([], minor=True)


def _numeric(names: Sequence[str]) -> bool:
    try:
        return bool([float(name) for name in names])
    except ValueError:
        return False
