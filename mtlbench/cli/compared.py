"""The tables of `mtlbench compare`: arms, and their differences from the baseline."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from mtlbench.cli.fields import (
    UNRELIABLE,
    WIDEST,
    interval_text,
    marked,
    p_field,
    plain_table,
)

if TYPE_CHECKING:
    import pandas as pd


def estimate_table(found: "pd.DataFrame", level: float) -> Table:
    """Each arm's value under each metric."""
    table = _table(f"Values with {100 * level:g} % intervals", found, "value")
    table.add_column(escape("value [interval]"), no_wrap=True)
    table.add_column("patients/cases/positive", no_wrap=True)
    for row in found.to_dict("records"):
        sizes = "/".join(f"{row[f'n_{of}']:g}" for of in ("patients", "cases", "positive"))
        table.add_row(*_names(row, "value"), _interval(row, "value"), sizes)
    return table


def difference_tables(found: "pd.DataFrame", adjust: str) -> Iterator[Table]:
    """Each arm's difference from the baseline; then, where there are margins, how it holds them."""
    baseline = found["baseline"].iloc[0]
    table = _table(f"Differences from {baseline} on the same patients", found, "difference")
    for head in (escape("Δ [interval]"), "p", f"p ({adjust})"):
        table.add_column(head, no_wrap=True)
    for row in found.to_dict("records"):
        p, adjusted = p_field(row["p"]), p_field(row["p_adjusted"])
        table.add_row(*_names(row, "difference"), _interval(row, "difference"), p, adjusted)
    yield table
    held = found[found["margin"].notna()] if "margin" in found else found[:0]
    if len(held):
        title = f"Not worse than {baseline} by more than the margin"
        table = _table(title, held, "difference", methods=False)
        for head in ("margin", "p"):
            table.add_column(head, no_wrap=True)
        for row in held.to_dict("records"):
            table.add_row(
                *_names(row, "difference"), f"{row['margin']:g}", p_field(row["p_noninferior"])
            )
        yield table


def _table(title: str, found: "pd.DataFrame", value: str, *, methods: bool = True) -> Table:
    """Begun with metric and arm; below it the methods, which would fill the lines."""
    captions: list[str] = []
    if methods:
        for method, metrics in found.groupby("method", sort=False)["metric"]:
            captions += [f"{', '.join(metrics.unique())}: {method!s}"] if method else []
    unreliable = (~found["reliable"].astype(bool) & found[value].notna()).any()
    table = plain_table(title, captions + ([UNRELIABLE] if unreliable else []))
    table.add_column("metric", overflow="fold")
    width = min(int(found["arm"].str.len().max()) + 2, WIDEST)
    table.add_column("arm", width=width, overflow="fold")
    return table


def _names(row: dict[Any, Any], value: str) -> tuple[str, str]:
    from mtlbench.analysis.frame import absent

    return row["metric"], marked(row["arm"], row["reliable"] or absent(row[value]))


def _interval(row: dict[Any, Any], value: str) -> str:
    return interval_text(row[value], row["low"], row["high"], " ")
