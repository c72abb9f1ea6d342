"""Forest plot: every cell under every metric, with its interval, and the published values."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlbench.analysis.protocol import verdict
from mtlbench.analysis.published import PublishedRow
from mtlbench.report.collect import Cell, Study
from mtlbench.report.figures.style import (
    GREY,
    TWO_COLUMNS,
    Drawn,
    colours,
    mark,
    mark_published,
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
    """A row that is not ours: a published model."""

    author: str
    name: str
    why_not: str
    """Empty where it is comparable."""
    numbers: Mapping[str, PublishedRow]
    """By metric."""


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """Rows are cells and, below a line, what is published; panels are metrics."""
    metrics, cells = numbers.metrics(), study.complete
    if not metrics:
        return
    others = _others(published(study, numbers)[0])
    labels = [wrapped(_label(study, cell)) for cell in cells]
    labels += [wrapped(f"{other.author}: {other.name}") for other in others]
    figure = Figure(figsize=(TWO_COLUMNS, 0.85 + rows_height(labels, 0.19)))
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axis, metric in zip(axes, metrics, strict=True):
        _panel(axis, study, numbers, metric)
        _published(axis, others, metric, first=len(cells))
        widen(axis, "x", least=0)
    axes[0].set_yticks(range(len(labels)), labels)
    axes[0].set_ylim(len(labels) - 0.5, -0.5)
    yield Drawn(
        "forest",
        figure,
        _data(numbers, others),
        "Test values of every cell; grey lines: the baselines"
        f"{_bare(numbers)}{_diamonds(others)} "
        f"({basis(study, numbers, numbers.estimates)}).",
        f"Forest plot of {', '.join(METRICS[m] for m in metrics)} of {len(cells)} cells",
    )


def _data(numbers: Numbers, others: Sequence[_Other]) -> pd.DataFrame:
    """A row per cell and metric, then per published value; `source` is empty for our own."""
    keys = ("cell", "arm", "metric", "value", "low", "high")
    rows = [{key: row[key] for key in keys} for row in numbers.estimate.values()]
    rows += [
        row.model_dump(include={"metric", "value", "low", "high"})
        | {"cell": row.name, "source": ", ".join(filter(None, (other.author, other.why_not)))}
        for other in others
        for row in other.numbers.values()
    ]
    return pd.DataFrame(rows, columns=[*keys, "source"]).dropna(subset=["value"])


def _bare(numbers: Numbers) -> str:
    """What hollow dots mean and why, from what `compare` warned of the values that are drawn."""
    said = (re.fullmatch(r"(\w+), (.*?): no interval: (.*)", line) for line in numbers.warnings)
    drawn = [one for one in said if one and one[1] in METRICS]
    why = dict.fromkeys(one[3] for one in drawn if (one[2], one[1]) in numbers.estimate)
    return f"; hollow dots: no interval ({'; '.join(why)})" if why else ""


def _diamonds(others: Sequence[_Other]) -> str:
    """What the diamonds are: by source and by what differs, the models that it holds for."""
    alike: dict[tuple[str, str], list[str]] = {}
    for other in others:
        alike.setdefault((other.author, other.why_not), []).append(other.name)
    beside = [author for author, why_not in alike if not why_not]
    apart = [
        f"{author} {', '.join(names)}, {why_not}"
        for (author, why_not), names in alike.items()
        if why_not
    ]
    filled = f"; filled diamonds: published values ({'; '.join(beside)})" if beside else ""
    hollow = f"; hollow diamonds: published values ({'; and '.join(apart)})" if apart else ""
    return filled + hollow


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
        mark(axis, value, y, colour, bare=bare)
    if (base := numbers.baselines[metric]) is not None:
        at = 100 * (numbers.value(base, metric) or 0)
        axis.axvline(at, color="#b0b0b0", linewidth=0.7, zorder=0)
    axis.set_xlabel(wrapped(f"{METRICS[metric]} (%)", 12))
    axis.grid(axis="x")
    axis.tick_params(axis="y", length=0)


def _others(entries: Sequence[Published]) -> list[_Other]:
    """A row per published model; the comparable ones stand first."""
    others = [
        _Other(one.author, name, verdict(one.reasons[name]), numbers)
        for one in entries
        for name, numbers in one.models.items()
    ]
    return sorted(others, key=lambda other: bool(other.why_not))


def _published(axis: Axes, others: Sequence[_Other], metric: str, *, first: int) -> None:
    """Diamonds below a line, with the interval that the source gives."""
    if others:
        axis.axhline(first - 0.5, color="#b0b0b0", linewidth=0.5)
    for y, other in enumerate(others, start=first):
        if (row := other.numbers.get(metric)) is None:
            continue
        if row.low is not None and row.high is not None:
            axis.plot([100 * row.low, 100 * row.high], [y, y], color=GREY)
        mark_published(axis, 100 * row.value, y, comparable=not other.why_not)


def _label(study: Study, cell: Cell) -> str:
    return f"{cell.label} †" if study.is_chosen(cell) else cell.label
