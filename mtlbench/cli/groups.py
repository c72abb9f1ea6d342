"""The tables of `mtlbench compare --by`: arms within groups of cases, for 80 columns."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.table import Table

from mtlbench.cli.fields import UNRELIABLE, WIDEST, interval_text, marked, p_field, plain_table

if TYPE_CHECKING:
    import pandas as pd

HEADER = ("value\n[interval]", "Δ\n[interval]", "interaction: Δ\n- Δ in the others", "p\nadj. p")


def subgroup_tables(found: "pd.DataFrame") -> Iterator[Table]:
    """One for each metric and group; a field is a number above its interval."""
    width = min(int(found["arm"].str.len().max()) + 2, WIDEST)
    for name, rows in found.groupby(["metric", "variable", "group"], sort=False):
        metric, variable, group = name
        sizes = (f"{rows[f'n_{of}'].iloc[0]} {of}" for of in ("patients", "cases", "positive"))
        captions = [] if rows["reliable"].all() else [f"{UNRELIABLE}, by group"]
        table = plain_table(f"{metric}, {variable} = {group}: {', '.join(sizes)}", captions)
        table.add_column("arm", width=width, overflow="fold")
        for head, least in zip(HEADER, (14, 15, 17, 6), strict=True):
            table.add_column(head, min_width=least, no_wrap=True)
        for row in rows.to_dict("records"):
            table.add_row(*_fields(row))
        yield table


def _fields(row: dict[Any, Any]) -> tuple[str, ...]:
    return (
        marked(row["arm"], row["reliable"]),
        interval_text(row["value"], row["low"], row["high"], "\n"),
        *(
            interval_text(row[what], row[f"{what}_low"], row[f"{what}_high"], "\n")
            for what in ("difference", "interaction")
        ),
        f"{p_field(row['p'])}\n{p_field(row['p_adjusted'])}",
    )
