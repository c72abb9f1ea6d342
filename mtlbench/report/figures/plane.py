"""The AUC-Dice plane: both tasks of a cell at once, who is on the front, who dominates whom."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mtlbench.analysis.published import BEFORE_LAST
from mtlbench.analysis.regions import Joint, joint
from mtlbench.report.collect import Study
from mtlbench.report.figures import dominance
from mtlbench.report.figures.plane_panels import AXES, Plane, Row, far, near
from mtlbench.report.figures.style import (
    TWO_COLUMNS,
    Drawn,
    colours,
    letters,
    place_legend,
)
from mtlbench.report.notes import seeds_caption, span
from mtlbench.report.numbers import Numbers
from mtlbench.report.published import published
from mtlbench.report.text import METRIC_NAMES, absent, level_text

PUBLISHED = " Grey marks: published values, other test sets."
FRONT = "; dotted: Pareto front of the values"
REGION = ("_se", "_df", "_radius", "correlation")
"""How the columns of a region end."""
MOST_RESAMPLES = 2000
"""Of the patients: a probability then has a standard error of 1.1 points at most."""


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """Panels: regions; the same points from near; P(dominates), where there is much to read."""
    rules = study.config.compare
    resamples = min(rules.resamples, MOST_RESAMPLES)
    frames = {cell.name: cell.frame for cell in study.complete}
    found = joint(frames, level=rules.level, resamples=resamples)
    if found.points.empty:
        return
    found = replace(found, points=_held_to_the_tables(found.points, numbers))
    plane = _plane(study, numbers, found)
    matrix = dominance.LEAST_CELLS <= len(plane.cells) <= dominance.MOST_CELLS
    figure = Figure(figsize=(TWO_COLUMNS, 3.0))
    axes = list(figure.subplots(1, 2 + matrix))
    near(axes[1], plane)
    far(axes[0], plane, axes[1])
    if matrix:
        dominance.matrix(axes[2], plane.cells, found.dominance)
    letters(axes)
    place_legend(figure, axes[:1])
    yield Drawn(
        "plane",
        figure,
        _data(found, plane),
        _caption(study, numbers, plane, level_text(rules.level), resamples),
        f"AUC-Dice plane of {', '.join(cell.label for cell in plane.cells)}",
    )


def _caption(study: Study, numbers: Numbers, plane: Plane, level: str, resamples: int) -> str:
    n, most = len(plane.cells), dominance.MOST_CELLS
    where = "(c) In" if dominance.LEAST_CELLS <= n <= most else "In the CSV: in"
    dominates = (
        f" {where} how many of the resamples the one is at least as good on both metrics and "
        "better on one (these trained models)."
    )
    return (
        f"AUC against mean Dice of the cells with both tasks. (a) {level} joint confidence "
        "regions: ellipses on the logit scale, of closed-form standard errors and the "
        f"correlation of {resamples} resamples of patients, √(2F) standard errors wide, F of "
        "F(2, df); none (a hollow dot) where a value has no interval, dashed where an interval may "
        f"be wrong.{PUBLISHED if plane.others else ''} (b) Zoom on the grey frame of (a); rings: "
        f"single seeds{FRONT if len(plane.front) > 1 else ''}; dashed: baselines with one task."
        f"{dominates if n > 1 else ''} "
        f"({span(numbers, 'n_patients')} test patients, {span(numbers, 'n_cases')} cases; "
        f"{seeds_caption(study)}.)"
    )


def _held_to_the_tables(points: pd.DataFrame, numbers: Numbers) -> pd.DataFrame:
    """Without the regions of cells that have no interval of a value; `reliable` as the tables."""
    rows = [[numbers.estimate[arm, metric] for metric in AXES] for arm in points["arm"]]
    bare = [any(absent(row["low"]) for row in pair) for pair in rows]
    region = [column for column in map(str, points) if column.endswith(REGION)]
    points = points.assign(**{c: points[c].mask(np.array(bare)) for c in region})
    return points.assign(reliable=[all(row["reliable"] for row in pair) for pair in rows])


def _plane(study: Study, numbers: Numbers, found: Joint) -> Plane:
    points = {row["arm"]: row for row in _rows(found.points)}
    bases = {metric: numbers.baselines.get(metric) for metric in AXES}
    return Plane(
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
        tuple(_others(study, numbers)),
    )


def _others(study: Study, numbers: Numbers) -> Iterator[Row]:
    """Published models with both values; a value of another stage than ours is marked."""
    for source, one in enumerate(published(study, numbers)[0]):
        for name, values in one.models.items():
            if not all(metric in values for metric in AXES):
                continue
            early = [METRIC_NAMES[m] for m in AXES if values[m].stage == BEFORE_LAST]
            comparable = not one.reasons[name] and not early
            yield {
                "cell": name,
                "mark": "*" * len(early),
                "source": one.author
                + ("" if comparable else ", not comparable")
                + "".join(f" (*: {metric} before the last stage)" for metric in early),
                "marker": source,
                "comparable": comparable,
                **{metric: values[metric].value for metric in AXES},
            }


def _rows(table: pd.DataFrame) -> list[Row]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _data(found: Joint, plane: Plane) -> pd.DataFrame:
    """Rows of four kinds: `cell`, `seed`, `published`, `dominance` (p of `cell` over `other`)."""
    tables = {
        "cell": found.points,
        "seed": found.seeds,
        "published": pd.DataFrame(list(plane.others)).drop(
            columns=["mark", "marker"], errors="ignore"
        ),
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
