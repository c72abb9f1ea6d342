"""The two panels of points of the AUC-Dice plane: regions from afar, and values from near."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from mtlbench.analysis.regions import outline
from mtlbench.report.collect import Cell, short_key, short_value
from mtlbench.report.figures.style import GREY, HALO, mark_published, widen, wrapped
from mtlbench.report.text import METRIC_NAMES, absent

AXES = ("auc", "dice")
MARGIN = 0.14
"""Around what a panel shows, as a fraction of what it spans."""
LINE = 14
"""Characters of a line beside a point: half a panel."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plane:
    """What the panels share; rows by cell, values as fractions."""

    palette: Mapping[str, str]
    cells: tuple[Cell, ...]
    """Those with both tasks."""
    points: Mapping[str, Row]
    seeds: tuple[Row, ...]
    bases: tuple[tuple[str, str, float], ...]
    """Metric, label and value of each baseline that has one task alone."""
    others: tuple[Row, ...]
    """Published models with both values: `cell`, `source`, `comparable`, `auc`, `dice`.

    `mark` goes behind the name; `marker` is the place of the source among the entries.
    """

    @property
    def front(self) -> list[tuple[float, float]]:
        """The undominated points, from the left."""
        return sorted(_at(row) for row in self.points.values() if row["on_front"])


def far(axis: Axes, plane: Plane, zoom: Axes) -> None:
    """Regions and points, what is published, and a frame around what the panel `zoom` shows."""
    named: set[str] = set()
    for cell in plane.cells:
        row, colour = plane.points[cell.name], plane.palette[cell.arm]
        if not (bare := absent(row["correlation"])):
            value_2, se_2, radius_2 = (
                np.array([row[f"{metric}{what}"] for metric in AXES])
                for what in ("", "_se", "_radius")
            )
            edge_T2 = 100 * outline(value_2, se_2, row["correlation"], radius_2)
            axis.fill(
                *edge_T2.T, facecolor=to_rgba(colour, 0.06), edgecolor=colour, lw=0.8,
                ls="-" if row["reliable"] else (0, (4, 2)),
            )  # fmt: skip
        label = None if cell.arm in named else _legend(plane, cell)
        face = "white" if bare else colour
        axis.plot(*_at(row), "o", color=colour, mfc=face, ms=3.5, label=label)
        named.add(cell.arm)
    for row in plane.others:
        mark_published(axis, *_at(row), row["marker"], row["source"], comparable=row["comparable"])
    (left, right), (low, high) = zoom.get_xlim(), zoom.get_ylim()
    frame_x, frame_y = (left, right, right, left, left), (low, low, high, high, low)
    axis.plot(frame_x, frame_y, color=GREY, lw=0.5, zorder=1)
    axis.margins(MARGIN)
    middle = sum(axis.get_xlim()) / 2
    for row in plane.others:
        _write(axis, _at(row), row["cell"] + row["mark"], GREY, left=_at(row)[0] > middle)
    _name(axis)


def _legend(plane: Plane, cell: Cell) -> str:
    if sum(cell.arm == other.arm for other in plane.cells) == 1:
        return cell.label
    where = "points" if _is_curve(plane, cell.arm) else "undominated points"
    what = "trial" if cell.is_found else ", ".join(map(short_key, cell.values))
    return f"{cell.arm} ({what} beside the {where})"


def _is_curve(plane: Plane, arm: str) -> bool:
    """Whether the arm's cells are several values of one key, and no search's finds."""
    cells = [cell for cell in plane.cells if cell.arm == arm]
    return len(cells) > 1 and all(len(cell.values) == 1 and not cell.is_found for cell in cells)


def near(axis: Axes, plane: Plane) -> None:
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
    _show_bases(axis, plane)
    axis.margins(MARGIN)
    widen(axis, "x", least=0)
    widen(axis, "y", least=0)
    for cells in arms.values():
        _write_cells(axis, plane, cells)
    _lines(axis, plane)
    axis.set_title("zoom on the frame of a", loc="right", fontsize=7, color=GREY)
    _name(axis)


def _show_bases(axis: Axes, plane: Plane) -> None:
    """Let the axes reach to the baselines: on which side of them a cell lies is the question."""
    x, y = _at(next(iter(plane.points.values())))
    for metric, _, value in plane.bases:
        axis.update_datalim([(100 * value, y) if metric == "auc" else (x, 100 * value)])


def _write_cells(axis: Axes, plane: Plane, cells: list[Cell]) -> None:
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


def _lines(axis: Axes, plane: Plane) -> None:
    """The front of several: left of it and below all is dominated. Baselines of one task."""
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    if len(plane.front) > 1:
        x = [left, *(auc for auc, _ in plane.front for _ in range(2))]
        y = [*(dice for _, dice in plane.front for _ in range(2)), low]
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
    axis.set(xlabel=f"{METRIC_NAMES['auc']} (%)", ylabel=f"{METRIC_NAMES['dice']} (%)")
    axis.locator_params(nbins=5)
    axis.grid()
