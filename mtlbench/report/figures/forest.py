"""Forest plot: every cell under every metric, with its interval, and the published values."""

from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlbench.report.collect import Cell, Study
from mtlbench.report.figures.style import TWO_COLUMNS, Drawn, colours
from mtlbench.report.notes import basis
from mtlbench.report.numbers import Numbers
from mtlbench.report.text import METRICS, absent


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """Rows are cells, panels are metrics; nothing without a value."""
    metrics = numbers.metrics()
    cells = study.complete
    height = 0.75 + 0.17 * len(cells)
    figure = Figure(figsize=(TWO_COLUMNS, height))
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axis, metric in zip(axes, metrics, strict=True):
        _panel(axis, study, numbers, metric)
    axes[0].set_yticks(range(len(cells)), [_label(study, cell) for cell in cells])
    axes[0].set_ylim(len(cells) - 0.5, -0.5)
    yield Drawn(
        "forest",
        figure,
        f"Test values of every cell; grey lines: the baselines’ ({basis(study, numbers)}).",
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
        axis.plot(value, y, "o", color=colour, markersize=4)
    base = numbers.baselines[metric]
    if base is not None:
        axis.axvline(
            100 * (numbers.value(base, metric) or 0), color="#b0b0b0", linewidth=0.7, zorder=0
        )
    axis.set_xlabel(f"{METRICS[metric]} (%)")
    axis.grid(axis="x")
    axis.tick_params(axis="y", length=0)


def _label(study: Study, cell: Cell) -> str:
    return f"{cell.label} †" if study.is_chosen(cell) else cell.label
