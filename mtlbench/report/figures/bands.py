"""A curve per arm with its pointwise band: what ROC, PR, FROC and the Dice profile share."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlbench.report.collect import Cell, Study
from mtlbench.report.figures.style import ONE_COLUMN, line_styles, rows_height, wrapped
from mtlbench.report.notes import seeds_caption, span
from mtlbench.report.numbers import Numbers
from mtlbench.report.text import absent, level_text, metric_name, percent

RESAMPLES = 1000
"""Of a band; the intervals of a metric have their own."""
BANDED = 4
"""With more curves than this their bands would hide each other, and are left out."""
LEGEND = 44
"""Characters of a line of the legend."""

Measure = Callable[..., pd.DataFrame]
"""A cell, `level` and `resamples` → x, y, `low` and `high`."""


def banded(
    study: Study, cells: Sequence[Cell], labels: Sequence[str], measure: Measure
) -> tuple[Figure, Axes, pd.DataFrame]:
    """One panel of the cells' curves, the legend with their labels below; and the data."""
    labels = [wrapped(label, LEGEND) for label in labels]
    figure = Figure(figsize=(ONE_COLUMN, ONE_COLUMN + rows_height(labels, 0.17)))
    axis = figure.subplots()
    styles, parts = line_styles(study, study.shown), []
    for cell, label in zip(cells, labels, strict=True):
        curve = measure(cell, **settings(study))
        x, y, low, high = (curve[name] for name in curve)
        style = styles[cell.name]
        if len(cells) <= BANDED:
            axis.fill_between(x, low, high, color=style["color"], alpha=0.13, linewidth=0)
        alone = {"marker": "o", "markersize": 3} if len(curve) == 1 else {}  # no line to see
        axis.plot(x, y, **style | alone, label=label)
        parts.append(curve.assign(cell=cell.name)[["cell", *curve]])
    figure.legend(loc="outside lower center", ncols=1)
    axis.set(ylim=(-0.01, 1.01))
    return figure, axis, pd.concat(parts)


def settings(study: Study) -> dict[str, Any]:
    """What every band is measured with."""
    return {"level": study.config.compare.level, "resamples": RESAMPLES}


def bands_caption(study: Study, numbers: Numbers, n_curves: int) -> str:
    """What the bands are, and what the curves stand on."""
    bands = (
        f"bands: pointwise {level_text(study.config.compare.level)} percentile intervals of "
        f"{RESAMPLES} resamples of patients"
        if n_curves <= BANDED
        else f"no bands, since {n_curves} of them would hide each other"
    )
    return f"{bands} ({standing(study, numbers)})"


def standing(study: Study, numbers: Numbers) -> str:
    """Patients, cases and seeds of a figure without a metric's intervals."""
    return (
        f"{span(numbers, 'n_patients')} test patients, {span(numbers, 'n_cases')} cases; "
        f"{seeds_caption(study)}"
    )


def with_metric(numbers: Numbers, cells: Sequence[Cell], metric: str) -> list[str]:
    """`joint (AUC 84.0 %)` each; without the metric where the study does not measure it."""
    values = [numbers.estimate.get((cell.name, metric), {}).get("value") for cell in cells]
    return [
        cell.label if absent(value) else f"{cell.label} ({metric_name(metric)} {percent(value)} %)"
        for cell, value in zip(cells, values, strict=True)
    ]
