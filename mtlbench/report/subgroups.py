"""The arms within groups of test cases, where the study file names `compare.subgroups`."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mtlbench.analysis.subgroups import COLUMNS, subgroups
from mtlbench.report import text
from mtlbench.report.collect import Study
from mtlbench.report.numbers import Numbers
from mtlbench.report.tables import (
    ADJUSTED,
    Block,
    Entry,
    Table,
    difference_entry,
    estimate_entry,
)

SUBGROUP_METRICS = ("auc", "dice_any")
"""A group seldom has all classes, so Dice is that of any lesion."""
HEADER = (
    *("Group", "Arm", "Value [interval], %", "Δ [interval], points"),
    *("Interaction [interval], points", "Adjusted p", "Patients / cases / positives"),
)

UNRELIABLE = "*"
WHY = "An interval or p of the row may be wrong, for what is said of its group below."
DIFFERENCES = ("difference", "interaction")
SIZES = ("patients", "cases", "positive")


def in_subgroups(study: Study, numbers: Numbers) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A row per (metric, variable, group, cell) with `analysis.subgroups.COLUMNS`, and notes.

    Of cells with the very same runs one stands for all: it is tested once.
    """
    rules = study.config.compare
    tables, notes = [], []
    for metric in SUBGROUP_METRICS if rules.subgroups else ():
        base = numbers.baselines.get(metric)
        if base is None:
            continue
        valued = [cell for cell in study.shown if numbers.value(cell, metric) is not None]
        distinct = {study.same_runs[cell.name]: cell for cell in (*valued, base)}
        table, said = subgroups(
            {cell.name: cell.frame for cell in distinct.values()},
            study.cases,
            rules.subgroups,
            baseline=base.name,
            metrics=[metric],
            level=rules.level,
            resamples=rules.resamples,
            adjust=rules.adjust,
        )
        tables.append(table.dropna(subset=["value"]))
        notes += said
    return pd.concat(tables) if tables else pd.DataFrame(columns=COLUMNS), tuple(notes)


def subgroups_table(study: Study, found: pd.DataFrame, limits: Sequence[str]) -> Table:
    """A block per metric and variable; `limits` say why a row is marked."""
    labels = {cell.name: cell.label for cell in study.complete}
    blocks = [
        Block(
            f"{text.metric_name(str(metric))} by {str(variable).replace('_', ' ')}",
            _rows(rows.to_dict("records"), labels),
        )
        for (metric, variable), rows in found.groupby(["metric", "variable"], sort=False)
    ]
    adjusted = ADJUSTED[study.config.compare.adjust]
    return Table(
        "subgroups",
        "Arms within groups of test cases",
        HEADER,
        tuple(blocks),
        (
            "Interaction: the difference from the baseline in the group less the same in all other "
            f"groups; its p by {adjusted} over all such tests within one metric. Of two groups one "
            "test says all. Differences within a group are described, not tested.",
            *([] if found["reliable"].all() else [f"{UNRELIABLE} {WHY}"]),
            *limits,
        ),
    )


def _rows(
    rows: Sequence[Mapping[Any, Any]], labels: Mapping[str, str]
) -> tuple[tuple[Entry, ...], ...]:
    return tuple(
        (
            Entry(_name(row)),
            Entry(labels[row["arm"]]),
            estimate_entry(row),
            *(difference_entry(_span(row, what)) for what in DIFFERENCES),
            Entry(text.p_value(row["p_adjusted"])),
            Entry("/".join(text.count(row[f"n_{of}"]) for of in SIZES)),
        )
        for row in rows
    )


def _name(row: Mapping[Any, Any]) -> str:
    mark = "" if row["reliable"] else f"\N{NO-BREAK SPACE}{UNRELIABLE}"
    return f"{row['group']}{mark}"


def _span(row: Mapping[Any, Any], what: str) -> tuple[float, float, float]:
    return row[what], row[f"{what}_low"], row[f"{what}_high"]
