"""The AUC-Dice plane: both tasks of a cell at once, who is on the front, who dominates whom."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from mtlbench.analysis.joint import Joint, joint, outline
from mtlbench.report.collect import Cell, Study, short_key, short_value
from mtlbench.report.figures import dominance
from mtlbench.report.figures.style import (
    GREY,
    HALO,
    TWO_COLUMNS,
    Drawn,
    colours,
    letters,
    place_legend,
    widen,
    wrapped,
)
from mtlbench.report.notes import seeds_caption, span
from mtlbench.report.numbers import Numbers
from mtlbench.report.published import published
from mtlbench.report.text import METRICS, absent, level_text

AXES = ("auc", "dice")
MOST_RESAMPLES = 2000
"""Of the patients: a probability then has a standard error of 1.1 points at most."""
MARGIN = 0.14
"""Around what a panel shows, as a fraction of what it spans."""
LINE = 14
"""Characters of a line beside a point: half a panel."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Plane:
    """What the panels share; rows by cell, values as fractions."""

    palette: Mapping[str, str]
    cells: tuple[Cell, ...]
    """Those with both tasks."""
    points: Mapping[str, Row]
    seeds: tuple[Row, ...]
    bases: tuple[tuple[str, str, float], ...]
    """Metric, label and value of each baseline that has one task alone."""
    others: tuple[Row, ...]
    """Published models with both values: `cell`, `source`, `auc`, `dice`."""


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """Panels: regions; the same points from near; P(dominates), where it is readable."""
    rules = study.config.compare
    resamples = min(rules.resamples, MOST_RESAMPLES)
    frames = {cell.name: cell.frame for cell in study.complete}
    found = joint(frames, level=rules.level, resamples=resamples)
    if found.points.empty:
        return
    plane = _plane(study, numbers, found)
    matrix = 1 < len(plane.cells) <= dominance.MOST_CELLS
    figure = Figure(figsize=(TWO_COLUMNS, 3.0))
    axes = list(figure.subplots(1, 2 + matrix))
    _far(axes[0], plane)
    _near(axes[1], plane)
    if matrix:
        dominance.matrix(axes[2], plane.cells, found.dominance)
    letters(axes)
    place_legend(figure, axes[:1])
    where = "(c) In" if matrix else "In the CSV: in"
    yield Drawn(
        "plane",
        figure,
        _data(found, plane),
        f"AUC against mean Dice of the cells with both tasks. (a) {level_text(rules.level)} joint "
        "confidence regions: ellipses on the logit scale, of closed-form standard errors and the "
        f"correlation of {resamples} resamples of patients, √(2F) standard errors wide, F of "
        "F(2, df). (b) The points from near; rings: single seeds; dotted: Pareto front of the "
        f"values; dashed: baselines with one task. {where} how many of the resamples the one "
        "is at least as good on both metrics and better on one (these trained models)."
        f"{' Hollow: published values, other test sets.' if plane.others else ''} "
        f"({span(numbers, 'n_patients')} test patients, {span(numbers, 'n_cases')} cases; "
        f"{seeds_caption(study)}.)",
        f"AUC-Dice plane of {', '.join(cell.label for cell in plane.cells)}",
    )


def _plane(study: Study, numbers: Numbers, found: Joint) -> _Plane:
    points = {row["arm"]: row for row in _rows(found.points)}
    bases = {metric: numbers.baselines.get(metric) for metric in AXES}
    return _Plane(
        colours(study),
        tuple(cell for cell in study.complete if cell.name in points),
        points,
        tuple(_rows(found.seeds)),
        tuple(
            (metric, base.label, value)
            for metric, base in bases.items()
            if base is not None and base.name not in points
            if (value := numbers.value(base, metric)) is not None
        ),
        tuple(
            {
                "cell": name,
                "source": f"{one.author}, not comparable" if one.why_not else one.author,
                **{metric: values[metric].value for metric in AXES},
            }
            for one in published(study, numbers)[0]
            for name, values in one.models.items()
            if all(metric in values for metric in AXES)
        ),
    )


def _rows(table: pd.DataFrame) -> list[Row]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _far(axis: Axes, plane: _Plane) -> None:
    """Regions and points, and what is published."""
    named: set[str] = set()
    for cell in plane.cells:
        row, colour = plane.points[cell.name], plane.palette[cell.arm]
        if not absent(row["correlation"]):
            value_2, se_2, radius_2 = (
                np.array([row[f"{metric}{what}"] for metric in AXES])
                for what in ("", "_se", "_radius")
            )
            edge_T2 = 100 * outline(value_2, se_2, row["correlation"], radius_2)
            axis.fill(*edge_T2.T, facecolor=to_rgba(colour, 0.06), edgecolor=colour, lw=0.8)
        label = None if cell.arm in named else _legend(plane, cell)
        axis.plot(*_at(row), "o", color=colour, ms=3.5, label=label)
        named.add(cell.arm)
    for row in plane.others:
        style: Row = {"mfc": "white", "mec": GREY, "ms": 4}
        axis.plot(*_at(row), "o", **style, label=row["source"])
    axis.margins(MARGIN)
    middle = sum(axis.get_xlim()) / 2
    for row in plane.others:
        _write(axis, _at(row), row["cell"], GREY, left=_at(row)[0] > middle)
    _name(axis)


def _legend(plane: _Plane, cell: Cell) -> str:
    if sum(cell.arm == other.arm for other in plane.cells) == 1:
        return cell.label
    where = "points" if _is_curve(plane, cell.arm) else "front"
    what = "trial" if cell.is_found else ", ".join(map(short_key, cell.values))
    return f"{cell.arm} ({what} beside the {where})"


def _is_curve(plane: _Plane, arm: str) -> bool:
    """Whether the arm's cells are several values of one key, and no search's finds."""
    cells = [cell for cell in plane.cells if cell.arm == arm]
    return len(cells) > 1 and all(len(cell.values) == 1 and not cell.is_found for cell in cells)


def _near(axis: Axes, plane: _Plane) -> None:
    """Points, their seeds, the cells of a swept arm joined in the order of the value."""
    arms = {
        arm: sorted((cell for cell in plane.cells if cell.arm == arm), key=_order)
        for arm in dict.fromkeys(cell.arm for cell in plane.cells)
    }
    for arm, cells in arms.items():
        names, colour = [cell.name for cell in cells], plane.palette[arm]
        x, y = zip(*(_at(plane.points[name]) for name in names), strict=True)
        axis.plot(x, y, "-o" if _is_curve(plane, arm) else "o", color=colour, ms=4, lw=0.8)
        ring: Row = {"mfc": "none", "mec": colour, "mew": 0.6, "ms": 2.6, "alpha": 0.7}
        for row in plane.seeds:
            if row["arm"] in names:
                axis.plot(*_at(row), "o", **ring)
    axis.margins(MARGIN)
    widen(axis, "x", least=0)
    widen(axis, "y", least=0)
    for cells in arms.values():
        _write_cells(axis, plane, cells)
    _lines(axis, plane)
    _name(axis)


def _write_cells(axis: Axes, plane: _Plane, cells: list[Cell]) -> None:
    """Names of a curve's points, or of those of several that are on the front."""
    middle = sum(axis.get_xlim()) / 2
    curve = _is_curve(plane, cells[0].arm)
    written = [
        cell for cell in cells if curve or (len(cells) > 1 and plane.points[cell.name]["on_front"])
    ]
    for i, cell in enumerate(written):
        at, values = _at(plane.points[cell.name]), ", ".join(map(short_value, cell.values.values()))
        text = wrapped(cell.point if cell.is_found else values, LINE)
        below, left = i % 2 == 1, not curve and at[0] > middle
        _write(axis, at, text, plane.palette[cell.arm], below=below, left=left)


def _at(row: Row) -> tuple[float, float]:
    return 100 * row["auc"], 100 * row["dice"]


def _order(cell: Cell) -> tuple[float, str]:
    """By the swept value, as a number where it is one."""
    text = next(iter(cell.values.values()), "")
    try:
        return float(text), ""
    except ValueError:
        return 0.0, text


def _lines(axis: Axes, plane: _Plane) -> None:
    """The front: left of it and below everything is dominated. Baselines of one task in view."""
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    front = sorted(_at(row) for row in plane.points.values() if row["on_front"])
    x = [left, *(auc for auc, _ in front for _ in range(2))]
    y = [*(dice for _, dice in front for _ in range(2)), low]
    axis.plot(x, y, ":", color=GREY, lw=1, zorder=1)
    axis.set(xlim=(left, right), ylim=(low, high))
    for metric, label, fraction in plane.bases:
        value = 100 * fraction
        if metric == "auc" and left < value < right:
            axis.axvline(value, color=GREY, ls="--", lw=0.8, zorder=0)
            _write(axis, (value, high), label, GREY, below=True)
        elif metric == "dice" and low < value < high:
            axis.axhline(value, color=GREY, ls="--", lw=0.8, zorder=0)
            _write(axis, (right, value), label, GREY, below=True, left=True)


def _write(
    axis: Axes,
    at: tuple[float, float],
    text: str,
    colour: str,
    *,
    below: bool = False,
    left: bool = False,
) -> None:
    """A name beside a point, above it on the right if nothing else is said."""
    offset = (-3 if left else 3, -2 if below else 3)
    place: Row = {"ha": "right" if left else "left", "va": "top" if below else "bottom"}
    note = axis.annotate(text, at, offset, textcoords="offset points", fontsize=7, **place)
    note.set(color=colour, path_effects=[HALO])


def _name(axis: Axes) -> None:
    axis.set(xlabel=f"{METRICS['auc']} (%)", ylabel=f"{METRICS['dice']} (%)")
    axis.locator_params(nbins=5)
    axis.grid()


def _data(found: Joint, plane: _Plane) -> pd.DataFrame:
    """Rows of four kinds: `cell`, `seed`, `published`, `dominance` (p of `cell` over `other`)."""
    tables = {
        "cell": found.points,
        "seed": found.seeds,
        "published": pd.DataFrame(list(plane.others)),
        "dominance": found.dominance,
    }
    return pd.concat(
        [
            table.rename(columns={"arm": "cell"}).assign(kind=kind)
            for kind, table in tables.items()
            if not table.empty
        ],
        ignore_index=True,
    )
