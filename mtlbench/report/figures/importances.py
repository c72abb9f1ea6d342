"""What mattered on the validation set: a bar per factor, its share of the variance."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlbench.report.collect import Study
from mtlbench.report.figures.style import (
    GREY,
    ONE_COLUMN,
    PALETTE,
    TWO_COLUMNS,
    Drawn,
    rows_height,
    wrapped,
)
from mtlbench.report.importance import factor_label, importances, left_out, metric_label
from mtlbench.report.text import absent, percent

BAR = 0.6
"""Height of a bar, in units of a row."""
MOST_OUTSIDE = 75
"""Percent: beside a longer bar there is no room for its number."""


def draw(study: Study) -> Iterator[Drawn]:
    """Rows are the factors of each group of arms, panels the metrics; nothing without a share."""
    rows = importances(study).dropna(subset=["importance"])
    if rows.empty:
        return
    metrics = list(rows["metric"].unique())
    places = list(dict.fromkeys(zip(rows["arm"], rows["factor"], strict=True)))
    alone = rows["arm"].nunique() == 1
    labels = [wrapped(factor_label(f) if alone else f"{factor_label(f)} ({a})") for a, f in places]
    width = ONE_COLUMN if len(metrics) == 1 else TWO_COLUMNS
    figure = Figure(figsize=(width, 0.75 + rows_height(labels, 0.2)))
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    limit = 1 - study.config.compare.level
    for axis, metric in zip(axes, metrics, strict=True):
        _panel(axis, rows[rows["metric"] == metric], places, limit)
        label = f"Share of variance in validation {metric_label(metric)} (%)"
        axis.set_xlabel(wrapped(label, 28 if len(metrics) < 3 else 22))
    axes[0].set_yticks(range(len(labels)), labels)
    axes[0].set_ylim(len(labels) - 0.5, -0.5)
    hollow = f" Hollow: p ≥ {limit:.2g}." if rows["p"].notna().any() else ""
    yield Drawn(
        "importances",
        figure,
        rows[["metric", "arm", "factor", "importance", "p"]],
        "Share of the validation metrics’ variance over runs that each factor accounts for "
        f"({'; '.join(rows['method'].unique())}).{hollow} {left_out(study, rows)}".rstrip(),
        f"Bars of {len(places)} factors for {', '.join(map(metric_label, metrics))}",
    )


def _panel(axis: Axes, rows: pd.DataFrame, places: list[tuple[str, str]], limit: float) -> None:
    for row in rows.to_dict("records"):
        y, share = places.index((row["arm"], row["factor"])), 100 * row["importance"]
        sure = absent(row["p"]) or row["p"] < limit
        axis.barh(y, share, BAR, color=PALETTE[0] if sure else "white", edgecolor=PALETTE[0])
        inside = share > MOST_OUTSIDE
        axis.annotate(
            percent(row["importance"]),
            (share, y),
            (-3 if inside else 3, 0),
            textcoords="offset points",
            ha="right" if inside else "left",
            va="center",
            fontsize=7,
            color=("white" if inside else "black") if sure else GREY,
        )
    axis.set_xlim(0, 100)
    axis.set_xticks([0, 50, 100])
    axis.grid(axis="x")
    axis.tick_params(axis="y", length=0)
