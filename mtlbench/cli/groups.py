"""The tables of `mtlbench compare --by`: arms within groups of cases, for 80 columns."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich import box
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd

HEADER = ("value\n[interval]", "Δ\n[interval]", "interaction: Δ\n- Δ in the others", "p\nadj. p")
UNRELIABLE = "* an interval or p may be wrong: the notes say why, by group"
WIDEST = 16
"""Characters of an arm's name in a line; a longer one goes on below."""


def subgroup_tables(found: "pd.DataFrame") -> Iterator[Table]:
    """One for each metric and group; a field is a number above its interval."""
    width = min(found["arm"].str.len().max(), WIDEST)
    for name, rows in found.groupby(["metric", "variable", "group"], sort=False):
        metric, variable, group = name
        sizes = (f"{rows[f'n_{of}'].iloc[0]} {of}" for of in ("patients", "cases", "positive"))
        table = Table(
            title=escape(f"{metric}, {variable} = {group}: {', '.join(sizes)}"),
            title_justify="left",
            caption=None if rows["reliable"].all() else UNRELIABLE,
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            collapse_padding=True,
        )
        table.add_column("arm", width=width, overflow="fold")
        for head, least in zip(HEADER, (14, 15, 17, 6), strict=True):
            table.add_column(head, min_width=least, no_wrap=True)
        for row in rows.to_dict("records"):
            table.add_row(*_fields(row))
        yield table


def _fields(row: dict[Any, Any]) -> tuple[str, ...]:
    mark = "" if row["reliable"] else " *"
    return (
        escape(f"{row['arm']}{mark}"),
        _interval(row["value"], row["low"], row["high"]),
        *(
            _interval(row[what], row[f"{what}_low"], row[f"{what}_high"])
            for what in ("difference", "interaction")
        ),
        f"{_p(row['p'])}\n{_p(row['p_adjusted'])}",
    )


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    limits = "" if _absent(low) else f"[{low:.3f}, {high:.3f}]"
    return "-" if _absent(value) else escape(f"{value:.3f}\n{limits}")


def _p(value: float | None) -> str:
    if value is None or _absent(value):
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _absent(value: float | None) -> bool:
    return value is None or value != value
