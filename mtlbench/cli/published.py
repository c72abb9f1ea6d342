"""mtlbench published: the numbers of the field, each with its protocol."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from mtlbench.errors import StudyError

if TYPE_CHECKING:
    from mtlbench.analysis.published import PublishedEntry, PublishedRow

app = typer.Typer(
    help="Published baselines and their protocols.",
    epilog="Example: mtlbench published list",
    no_args_is_help=True,
)
Json = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]
Registry = Annotated[
    Path | None, typer.Option(metavar="FILE", help="TOML file with entries of your own.")
]

OPEN = "not stated"
AGAINST = "Against published values, measured on other test sets (unpaired)"


@app.command("list", epilog="Example: mtlbench published list --registry my-baselines.toml")
def list_(registry: Registry = None, as_json: Json = False) -> None:
    """List every entry: what was measured, on what, and whether the source was read."""
    from mtlbench.analysis.published import load_published

    entries = load_published(registry)
    if as_json:
        print(
            json.dumps(
                {name: entry.model_dump(mode="json") for name, entry in entries.items()}, indent=2
            )
        )
        return
    table = Table(Column("id", no_wrap=True), "data set", "AUC, %", "Dice, %", "status")
    for name, entry in entries.items():
        words = (entry.dataset or OPEN, _span(entry, "auc"), _span(entry, "dice"), entry.status)
        table.add_row(*map(escape, (name, *words)))
    Console().print(table)


def _span(entry: "PublishedEntry", metric: str) -> str:
    """Smallest and largest value of a kind in per cent."""
    values = [100 * row.value for row in entry.rows if row.metric.startswith(metric)]
    ends = (f"{end:.1f}" for end in (min(values), max(values))) if values else ()
    return "-".join(dict.fromkeys(ends))


@app.command(epilog="Example: mtlbench published show le2019-table1 --json")
def show(name: str, registry: Registry = None, as_json: Json = False) -> None:
    """Show one entry with its protocol and source."""
    from mtlbench.analysis.published import load_published, unknown

    entries = load_published(registry)
    if fault := unknown(entries, name):
        raise StudyError(fault)
    entry = entries[name]
    if as_json:
        print(json.dumps(entry.model_dump(mode="json"), indent=2))
        return
    console = Console()
    console.print(_entry_table(entry))
    if entry.rows:
        console.print(_rows_table(entry))


def _entry_table(entry: "PublishedEntry") -> Table:
    """What all numbers of an entry share."""
    from mtlbench.analysis.protocol import OF_ROW, PROTOCOL, field_words, stated

    table = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2))
    for field in ("id", "paper", "year", "status", "source", "note"):
        if value := getattr(entry, field):
            table.add_row(field, escape(str(value)))
    for field in (field for field in PROTOCOL if field not in OF_ROW):
        table.add_row(field_words(field), escape(stated(entry, None, field) or OPEN))
    return table


def _rows_table(entry: "PublishedEntry") -> Table:
    """The numbers, each with its uncertainty and with what its own row states."""
    from mtlbench.analysis.protocol import OF_ROW, field_words, fields_of, stated
    from mtlbench.analysis.published import LAST

    table = Table("name", "metric", "value, %", "uncertainty", "measured as")
    for row in entry.rows:
        own = "\n".join(
            f"{field_words(field)}: {stated(entry, row, field) or OPEN}"
            for field in fields_of(row.metric)
            if field in OF_ROW and stated(entry, row, field) != LAST
        )
        words = (row.name, row.metric, f"{100 * row.value:.2f}", _uncertainty(row), own)
        table.add_row(*map(escape, words))
    return table


def _uncertainty(row: "PublishedRow") -> str:
    parts = []
    if row.low is not None and row.high is not None:
        parts.append(f"95 %: {100 * row.low:.1f} to {100 * row.high:.1f}")
    if row.sd is not None:
        parts.append(f"SD {100 * row.sd:.1f} over {row.sd_of or 'what is not stated'}")
    if row.n is not None:
        parts.append(f"n = {row.n}")
    if row.n_positive is not None:
        parts.append(f"{row.n_positive} positive, {row.n_negative} negative")
    return "; ".join(parts) or OPEN


def chosen(names: Iterable[str], registry: Path | None) -> list["PublishedEntry"]:
    """Give the entries of `mtlbench compare --published`.

    Raises:
        StudyError: a name is of no entry, or of one that nobody has read.
    """
    from mtlbench.analysis.published import load_published, why_disabled

    entries = load_published(registry)
    for name in names:
        if fault := why_disabled(entries, name):
            raise StudyError(f"--published: {fault}")
    return [entries[name] for name in names]


def against_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Rows of `against_entry` for the terminal."""
    from mtlbench.analysis.protocol import field_words

    numbers = ("published", "difference", "low", "high", "p")
    names = ("arm", "metric", "entry", "name")
    table = Table(*names, *numbers, "method", "not comparable", title=AGAINST)
    for row in rows:
        shown = ["-" if row[key] is None else f"{row[key]:.4f}" for key in numbers]
        why_not = ", ".join(
            f"{field_words(field)}{' (not stated)' if field in row['not_stated'] else ''}"
            for field in row["not_comparable"]
        )
        words = (*(row[key] for key in names), *shown, row["method"], why_not or "-")
        table.add_row(*map(escape, words))
    return table


def protocol_of(items: Iterable[str]) -> dict[str, str]:
    """Give the fields that `mtlbench compare --protocol FIELD=VALUE` states.

    Raises:
        StudyError: an item is not of this form.
    """
    from mtlbench.analysis.protocol import OF_DICE, PROTOCOL

    decided = (*OF_DICE, "stage")  # by the metric, and by which predictions are given
    fields = [field for field in PROTOCOL if field not in decided]
    values: dict[str, str] = {}
    for item in items:
        field, separator, value = item.partition("=")
        if not separator or field not in fields:
            known = ", ".join(fields)
            raise StudyError(
                f"--protocol must be FIELD=VALUE, FIELD one of {known}, but got {item!r}"
            )
        values[field] = value
    return values
