"""Forest plot: every cell under every metric, with its interval, and the published values."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from mtlbench.analysis.protocol import verdict
from mtlbench.analysis.published import PublishedRow
from mtlbench.report.collect import Cell, Study
from mtlbench.report.figures.style import (
    GREY,
    TWO_COLUMNS,
    Drawn,
    colours,
    rows_height,
    widen,
    wrapped,
)
from mtlbench.report.notes import basis
from mtlbench.report.numbers import Numbers
from mtlbench.report.published import Published, published
from mtlbench.report.text import METRICS, absent


@dataclass(frozen=True, slots=True)
class _Other:
    """A row that is not ours: a published model, or the heading of a source."""

    label: str
    """Of its row; a heading stands across the panels, and has none."""
    source: str
    numbers: Mapping[str, PublishedRow]
    """By metric; a heading has none."""


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """Rows are cells and what is published, below a line where incomparable; panels are metrics."""
    metrics, cells = numbers.metrics(), study.complete
    if not metrics:
        return
    others, n_beside = _others(published(study, numbers)[0])
    labels = [wrapped(_label(study, cell)) for cell in cells]
    labels += [wrapped(other.label) for other in others]
    figure = Figure(figsize=(TWO_COLUMNS, 0.85 + rows_height(labels, 0.19)))
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axis, metric in zip(axes, metrics, strict=True):
        _panel(axis, study, numbers, metric)
        _published(axis, others, metric, first=len(cells), n_beside=n_beside)
        widen(axis, "x", least=0)
    axes[0].set_yticks(range(len(labels)), labels)
    axes[0].set_ylim(len(labels) - 0.5, -0.5)
    for y, other in enumerate(others, start=len(cells)):
        if not other.numbers:
            _heading(axes[0], y, wrapped(f"{other.source}:", 100))
    sources = "; ".join(dict.fromkeys(other.source for other in others))
    hollow = f"; hollow and grey: published values ({sources})" if others else ""
    bare = f"; hollow and coloured: no interval ({reasons})" if (reasons := _bare(numbers)) else ""
    yield Drawn(
        "forest",
        figure,
        _data(numbers, others),
        f"Test values of every cell; grey lines: the baselines{bare}{hollow} "
        f"({basis(study, numbers, numbers.estimates)}).",
        f"Forest plot of {', '.join(METRICS[m] for m in metrics)} of {len(cells)} cells",
    )


def _data(numbers: Numbers, others: Sequence[_Other]) -> pd.DataFrame:
    """A row per cell and metric, then per published value; `source` is empty for our own."""
    keys = ("cell", "arm", "metric", "value", "low", "high")
    rows = [{key: row[key] for key in keys} for row in numbers.estimate.values()]
    rows += [
        row.model_dump(include={"metric", "value", "low", "high"})
        | {"cell": row.name, "source": other.source}
        for other in others
        for row in other.numbers.values()
    ]
    return pd.DataFrame(rows, columns=[*keys, "source"]).dropna(subset=["value"])


def _bare(numbers: Numbers) -> str:
    """Why values that are drawn have no interval, as `compare` warned."""
    said = (re.fullmatch(r"(\w+), (.*): no interval: (.*)", line) for line in numbers.warnings)
    return "; ".join(
        f"{METRICS[one[1]]} of {one[2]}: {one[3]}" for one in said if one and one[1] in METRICS
    )


def _panel(axis: Axes, study: Study, numbers: Numbers, metric: str) -> None:
    palette = colours(study)
    for y, cell in enumerate(study.complete):
        row = numbers.estimate[cell.name, metric]
        if absent(row["value"]):
            continue
        value, colour = 100 * row["value"], palette[cell.arm]
        bare = absent(row["low"])
        if not bare:
            axis.plot([100 * row["low"], 100 * row["high"]], [y, y], color=colour)
        face = "white" if bare else colour
        axis.plot(value, y, "o", color=colour, mfc=face, markersize=4, clip_on=False)
    if (base := numbers.baselines[metric]) is not None:
        at = 100 * (numbers.value(base, metric) or 0)
        axis.axvline(at, color="#b0b0b0", linewidth=0.7, zorder=0)
    axis.set_xlabel(wrapped(f"{METRICS[metric]} (%)", 12))
    axis.grid(axis="x")
    axis.tick_params(axis="y", length=0)


def _others(entries: Sequence[Published]) -> tuple[list[_Other], int]:
    """A row per published model, and how many are comparable: those stand first.

    The others come by source and by what differs, which their heading says.
    """
    beside: list[_Other] = []
    apart: dict[tuple[str, str], list[_Other]] = {}
    for one in entries:
        for name, numbers in one.models.items():
            if not (why_not := verdict(one.reasons[name])):
                beside.append(_Other(f"{one.author}: {name}", one.author, numbers))
                continue
            source = f"{one.author}, {why_not}"
            group = apart.setdefault((one.entry.id, source), [_Other("", source, {})])
            group.append(_Other(name, source, numbers))
    return beside + [other for group in apart.values() for other in group], len(beside)


def _published(
    axis: Axes, others: Sequence[_Other], metric: str, *, first: int, n_beside: int
) -> None:
    """Hollow points, with the interval that the source gives."""
    if len(others) > n_beside:
        axis.axhline(first + n_beside - 0.5, color="#b0b0b0", linewidth=0.5)
    for y, other in enumerate(others, start=first):
        if (row := other.numbers.get(metric)) is None:
            continue
        if row.low is not None and row.high is not None:
            axis.plot([100 * row.low, 100 * row.high], [y, y], color=GREY)
        axis.plot(100 * row.value, y, "o", mfc="white", mec=GREY, markersize=4)


def _heading(axis: Axes, y: int, heading: str) -> None:
    """Text from the first panel on over all of them."""
    figure = axis.get_figure()
    assert figure is not None
    across = blended_transform_factory(axis.transAxes, axis.transData)
    figure.text(
        0.02, y, heading, transform=across, va="center", fontsize=7, color=GREY,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    ).set_in_layout(False)  # fmt: skip


def _label(study: Study, cell: Cell) -> str:
    return f"{cell.label} †" if study.is_chosen(cell) else cell.label
