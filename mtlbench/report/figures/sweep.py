"""A metric along a varied key: a curve with a band for numbers, points for names."""

from collections.abc import Iterator, Sequence
from itertools import groupby

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
)
from mtlbench.report.notes import seeds_caption
from mtlbench.report.numbers import Numbers
from mtlbench.report.text import METRICS, absent, level_text

SHOWN = ("auc", "dice", "dice_lesions", "dice_any")


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """A figure per varied key, named `sweep_<key>`."""
    for key in study.varied:
        cells = [cell for cell in study.complete if key in cell.values]
        metrics = [m for m in SHOWN if any(numbers.value(c, m) is not None for c in cells)]
        if not metrics:
            continue
        figure = Figure(figsize=(TWO_COLUMNS, 2.6))
        axes = list(figure.subplots(1, len(metrics), squeeze=False)[0])
        for axis, metric in zip(axes, metrics, strict=True):
            _panel(axis, study, numbers, key, metric)
            axis.set(xlabel=short_key(key), ylabel=f"{METRICS[metric]} (%)")
        letters(axes)
        place_legend(figure, axes[0], columns=3)
        level = level_text(study.config.compare.level)
        yield Drawn(
            f"sweep_{key.replace('.', '_')}",
            figure,
            f"Test metrics along {key}: values with pointwise {level} intervals "
            f"({seeds_caption(study)}); dots are single seeds, dashed lines the baselines.",
            f"{', '.join(METRICS[m] for m in metrics)} along {key}",
        )


def _panel(axis: Axes, study: Study, numbers: Numbers, key: str, metric: str) -> None:
    lines = _lines(study, key)
    names = list(dict.fromkeys(cell.values[key] for _, cells in lines for cell in cells))
    numeric = all(_is_number(name) for name in names)
    palette = colours(study)
    own = len({cells[0].arm for _, cells in lines}) == len(lines)
    for i, (label, cells) in enumerate(lines):
        known = [cell for cell in cells if numbers.value(cell, metric) is not None]
        colour = palette[cells[0].arm] if own else PALETTE[i % len(PALETTE)]
        shift = 0.0 if numeric else 0.12 * (i - (len(lines) - 1) / 2)
        x = [float(c.values[key]) if numeric else names.index(c.values[key]) + shift for c in known]
        _series(axis, numbers, metric, known, x, colour, label, numeric=numeric)
    if not numeric:
        axis.set_xticks(range(len(names)), names, rotation=30, ha="right")
        axis.set_xlim(-0.5, len(names) - 0.5)
    base = numbers.baselines[metric]
    if base is not None and key not in base.values:
        value = 100 * (numbers.value(base, metric) or 0)
        axis.axhline(value, color=GREY, linestyle="--", linewidth=0.8, zorder=0)
        axis.annotate(
            base.label,
            (1, value),
            (-2, 2),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            color=GREY,
            fontsize=7,
        )
    axis.grid(axis="y")


def _series(
    axis: Axes,
    numbers: Numbers,
    metric: str,
    cells: Sequence[Cell],
    x: Sequence[float],
    colour: str,
    label: str,
    *,
    numeric: bool,
) -> None:
    rows = [numbers.estimate[cell.name, metric] for cell in cells]
    value = [100 * row["value"] for row in rows]
    low = [float("nan") if absent(row["low"]) else 100 * row["low"] for row in rows]
    high = [float("nan") if absent(row["high"]) else 100 * row["high"] for row in rows]
    if numeric:
        axis.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
        axis.plot(x, value, "-o", color=colour, markersize=3.5, label=label)
    else:
        axis.vlines(x, low, high, color=colour)
        axis.plot(x, value, "o", color=colour, markersize=4, label=label)
    for position, cell in zip(x, cells, strict=True):
        seeds = [100 * v for v in numbers.seed_values[cell.name, metric]]
        axis.plot([position] * len(seeds), seeds, ".", color=colour, alpha=0.6, markersize=3)


def _lines(study: Study, key: str) -> list[tuple[str, list[Cell]]]:
    """Cells that differ in `key` alone, each group with its name."""
    cells = [cell for cell in study.complete if key in cell.values]

    def name(cell: Cell) -> str:
        rest = [f"{short_key(k)}={v}" for k, v in cell.values.items() if k != key]
        return f"{cell.arm} [{', '.join(rest)}]" if rest else cell.arm

    groups = groupby(sorted(cells, key=name), key=name)
    return [(label, _ordered(list(group), key)) for label, group in groups]


def _ordered(cells: list[Cell], key: str) -> list[Cell]:
    numeric = all(_is_number(cell.values[key]) for cell in cells)
    return sorted(cells, key=lambda cell: float(cell.values[key])) if numeric else cells


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
