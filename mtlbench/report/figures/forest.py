"""Forest plot: every cell under every metric, with its interval, and the published values."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlbench.analysis.protocol import verdict
from mtlbench.analysis.published import BEFORE_LAST, LAST, PublishedRow
from mtlbench.report.collect import Cell, Study
from mtlbench.report.figures.style import (
    GREY,
    TWO_COLUMNS,
    Drawn,
    colours,
    mark,
    mark_published,
    metric_label,
    place_legend,
    rows_height,
    widen,
    wrapped,
)
from mtlbench.report.notes import basis
from mtlbench.report.numbers import Numbers, Row
from mtlbench.report.published import Published, published
from mtlbench.report.tables import earlier
from mtlbench.report.text import METRIC_NAMES, absent

BELOW = 0.3
"""Distance of a published value from ours, in rows."""


@dataclass(frozen=True, slots=True)
class _Other:
    """A published model, measured after one of its stages."""

    source: int
    """Its place among the entries."""
    author: str
    name: str
    stage: str
    why_not: str
    """Empty where it is comparable."""
    numbers: dict[str, PublishedRow]
    """By metric."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A row of the figure: a cell after one of its stages, a published model, or both."""

    label: str
    stage: str
    cell: Cell | None = None
    ours: Mapping[str, Row] = field(default_factory=dict)
    """By metric, those with a value."""
    others: list[_Other] = field(default_factory=list)


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """Rows are cells, a published value in its namesake's or below all; panels are metrics."""
    metrics = numbers.metrics()
    if not metrics:
        return
    others = _others(published(study, numbers)[0], metrics)
    lines = _lines(study, numbers, others)
    labels = [wrapped(line.label) for line in lines]
    figure = Figure(figsize=(TWO_COLUMNS, 0.85 + rows_height(labels, 0.25) + 0.2 * bool(others)))
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axis, metric in zip(axes, metrics, strict=True):
        _panel(axis, study, lines, metric)
        if (base := numbers.baselines[metric]) is not None:
            at = 100 * (numbers.value(base, metric) or 0)
            axis.axvline(at, color="#b0b0b0", linewidth=0.7, zorder=0)
        widen(axis, "x", least=0)
    axes[0].set_yticks(range(len(labels)), labels)
    axes[0].set_ylim(len(labels) - 0.5, -0.5)
    if others:
        place_legend(figure, axes)
    yield Drawn(
        "forest",
        figure,
        _data(lines),
        "Test values of every cell; grey lines: the baselines"
        f"{_bare(numbers)}{_published(others)} "
        f"({basis(study, numbers, numbers.estimates)}).",
        f"Forest plot of {', '.join(METRIC_NAMES[m] for m in metrics)} "
        f"of {len(study.complete)} cells",
    )


def _lines(study: Study, numbers: Numbers, others: Sequence[_Other]) -> list[_Line]:
    """Our cells in their order, with what is published of a namesake; then the other models."""
    lines = [line for cell in study.complete for line in _own(study, numbers, cell, others)]
    for other in others:
        beside = [
            line
            for line in lines
            if line.cell in study.shown and (line.cell.arm, line.stage) == (other.name, other.stage)
        ]
        if len(beside) != 1:
            stage = ", before the last stage" if other.stage == BEFORE_LAST else ""
            beside = [_Line(f"{other.author}: {other.name}{stage}", other.stage)]
            lines += beside
        beside[0].others.append(other)
    return lines


def _own(study: Study, numbers: Numbers, cell: Cell, others: Sequence[_Other]) -> Iterator[_Line]:
    """A cell; and the same before its last stage, where a namesake is published at that stage."""
    dagger = " †" if study.is_chosen(cell) else ""
    yield _Line(f"{cell.label}{dagger}", LAST, cell, _valued(numbers.estimate, cell))
    early = any((other.name, other.stage) == (cell.arm, BEFORE_LAST) for other in others)
    if early and (ours := _valued(numbers.before, cell)):
        yield _Line(f"{cell.label} {earlier(cell)}", BEFORE_LAST, cell, ours)


def _valued(table: Mapping[tuple[str, str], Row], cell: Cell) -> dict[str, Row]:
    rows = {metric: row for (name, metric), row in table.items() if name == cell.name}
    return {metric: row for metric, row in rows.items() if not absent(row["value"])}


def _data(lines: Sequence[_Line]) -> pd.DataFrame:
    """A row per value; `arm` is empty for those published, `source` for our own."""
    keys = ("cell", "arm", "metric", "value", "low", "high")
    rows: list[Row] = [
        {key: row[key] for key in keys} | {"stage": line.stage}
        for line in lines
        for row in line.ours.values()
        if row["metric"] in METRIC_NAMES
    ]
    rows += [
        row.model_dump(include={"metric", "value", "low", "high", "stage"})
        | {"cell": row.name, "source": ", ".join(filter(None, (other.author, other.why_not)))}
        for line in lines
        for other in line.others
        for row in other.numbers.values()
    ]
    return pd.DataFrame(rows, columns=[*keys, "stage", "source"])


def _bare(numbers: Numbers) -> str:
    """What hollow dots mean and why, from what `compare` warned of the values that are drawn."""
    said = (re.fullmatch(r"(\w+), (.*?): no interval: (.*)", line) for line in numbers.warnings)
    drawn = [one for one in said if one and one[1] in METRIC_NAMES]
    why = dict.fromkeys(one[3] for one in drawn if (one[2], one[1]) in numbers.estimate)
    return f"; hollow dots: no interval ({'; '.join(why)})" if why else ""


def _published(others: Sequence[_Other]) -> str:
    """What the grey marks are: by source and by what differs, the models that it holds for."""
    alike: dict[tuple[str, str], list[str]] = {}
    for other in others:
        names = alike.setdefault((other.author, other.why_not), [])
        names += [other.name] if other.name not in names else []
    beside = [author for author, why_not in alike if not why_not]
    apart = [
        f"{author} {', '.join(names)}, {why_not}"
        for (author, why_not), names in alike.items()
        if why_not
    ]
    filled = f"; grey, filled: published values ({'; '.join(beside)})" if beside else ""
    hollow = f"; grey, hollow: published values ({'; and '.join(apart)})" if apart else ""
    return filled + hollow


def _others(entries: Sequence[Published], metrics: Sequence[str]) -> list[_Other]:
    """Each model of each entry after each stage; the comparable ones stand first."""
    others: dict[tuple[int, str, str], _Other] = {}
    rows = [(i, one, row) for i, one in enumerate(entries) for row in one.entry.rows]
    for source, one, row in rows:
        if row.metric in metrics:
            why_not = verdict(one.reasons[row.name])
            other = _Other(source, one.author, row.name, row.stage, why_not, {})
            others.setdefault((source, row.name, row.stage), other).numbers[row.metric] = row
    return sorted(others.values(), key=lambda other: bool(other.why_not))


def _panel(axis: Axes, study: Study, lines: Sequence[_Line], metric: str) -> None:
    palette = colours(study)
    for y, line in enumerate(lines):
        if line.cell is not None and (row := line.ours.get(metric)) is not None:
            colour, bare = palette[line.cell.arm], absent(row["low"])
            if not bare:
                axis.plot([100 * row["low"], 100 * row["high"]], [y, y], color=colour)
            mark(axis, 100 * row["value"], y, colour, bare=bare)
        for other in line.others:
            _mark_other(axis, other, metric, y if line.cell is None else y + BELOW)
    axis.set_xlabel(metric_label(metric))
    axis.grid(axis="x")
    axis.tick_params(axis="y", length=0)


def _mark_other(axis: Axes, other: _Other, metric: str, y: float) -> None:
    """A published value, with the interval that the source gives."""
    if (row := other.numbers.get(metric)) is None:
        return
    if row.low is not None and row.high is not None:
        axis.plot([100 * row.low, 100 * row.high], [y, y], color=GREY)
    label = other.author + (", not comparable" if other.why_not else "")
    mark_published(axis, 100 * row.value, y, other.source, label, comparable=not other.why_not)
