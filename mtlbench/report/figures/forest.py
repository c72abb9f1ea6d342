"""Forest plot: every cell under every metric, with its interval, and the published values."""

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

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


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """Rows are cells and, below a line, what is published; panels are metrics."""
    metrics, cells = numbers.metrics(), study.complete
    if not metrics:
        return
    others = _others(published(study, numbers)[0])
    labels = [wrapped(_label(study, cell)) for cell in cells] + [label for label, _ in others]
    figure = Figure(figsize=(TWO_COLUMNS, 0.85 + rows_height(labels, 0.19)))
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axis, metric in zip(axes, metrics, strict=True):
        _panel(axis, study, numbers, metric)
        _published(axis, others, metric, first=len(cells))
        widen(axis, "x", least=0)
    axes[0].set_yticks(range(len(labels)), labels)
    axes[0].set_ylim(len(labels) - 0.5, -0.5)
    hollow = "; hollow: published values" if others else ""
    yield Drawn(
        "forest",
        figure,
        f"Test values of every cell; grey lines: the baselines{hollow} ({basis(study, numbers)}).",
        f"Forest plot of {', '.join(METRICS[m] for m in metrics)} of {len(cells)} cells",
    )


def _panel(axis: Axes, study: Study, numbers: Numbers, metric: str) -> None:
    palette = colours(study)
    for y, cell in enumerate(study.complete):
        row = numbers.estimate[cell.name, metric]
        if absent(row["value"]):
            continue
        value, colour = 100 * row["value"], palette[cell.arm]
        if not absent(row["low"]):
            axis.plot([100 * row["low"], 100 * row["high"]], [y, y], color=colour)
        axis.plot(value, y, "o", color=colour, markersize=4, clip_on=False)
    if (base := numbers.baselines[metric]) is not None:
        at = 100 * (numbers.value(base, metric) or 0)
        axis.axvline(at, color="#b0b0b0", linewidth=0.7, zorder=0)
    axis.set_xlabel(wrapped(f"{METRICS[metric]} (%)", 12))
    axis.grid(axis="x")
    axis.tick_params(axis="y", length=0)


def _others(entries: Sequence[Published]) -> list[tuple[str, dict[str, float]]]:
    """Label and values by metric of each published model, below a line for their source."""
    rows: list[tuple[str, dict[str, float]]] = []
    for one in entries:
        models: dict[str, dict[str, float]] = {}
        for row in one.entry.rows:
            models.setdefault(row.name, {})[row.metric] = row.value
        heading = f"{one.author}, {one.verdict}:" if one.why_not else f"{one.author}:"
        rows += [(heading, {}), *models.items()]
    return rows


def _published(
    axis: Axes, others: Sequence[tuple[str, dict[str, float]]], metric: str, *, first: int
) -> None:
    if others:
        axis.axhline(first - 0.5, color="#b0b0b0", linewidth=0.5)
    for y, (_, values) in enumerate(others, start=first):
        if metric in values:
            axis.plot(100 * values[metric], y, "o", mfc="white", mec=GREY, markersize=4)


def _label(study: Study, cell: Cell) -> str:
    return f"{cell.label} †" if study.is_chosen(cell) else cell.label
