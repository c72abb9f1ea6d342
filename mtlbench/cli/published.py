"""mtlbench published: the numbers of the field, each with its protocol."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mtlbench.errors import StudyError

if TYPE_CHECKING:
    from mtlbench.analysis import PublishedEntry

app = typer.Typer(
    help="Published baselines and their protocols.",
    epilog="Example: mtlbench published list",
    no_args_is_help=True,
)
Json = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]
Registry = Annotated[
    Path | None, typer.Option(metavar="FILE", help="TOML file with entries of your own.")
]

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
    table = Table("id", "paper", "data set", "status")
    for name, entry in entries.items():
        words = (name, entry.paper, entry.dataset or "not stated", entry.status)
        table.add_row(*map(escape, words))
    Console().print(table)


@app.command(epilog="Example: mtlbench published show le2019-table1 --json")
def show(name: str, registry: Registry = None, as_json: Json = False) -> None:
    """Show one entry with its protocol and source."""
    from mtlbench.analysis.published import load_published

    entries = load_published(registry)
    if name not in entries:
        raise StudyError(f"{name}: must be one of {', '.join(entries)}")
    values = entries[name].model_dump(mode="json")
    if as_json:
        print(json.dumps(values, indent=2))
    else:
        Console().print(values)


def chosen(names: Iterable[str], registry: Path | None) -> list["PublishedEntry"]:
    """Give the entries of `mtlbench compare --published`.

    Raises:
        StudyError: a name is of no entry, or of one that nobody has read.
    """
    from mtlbench.analysis.published import load_published

    enabled = {name: entry for name, entry in load_published(registry).items() if entry.enabled}
    if strangers := [name for name in names if name not in enabled]:
        known = ", ".join(enabled)
        raise StudyError(f"--published must be one of {known}, but got {strangers[0]!r}")
    return [enabled[name] for name in names]


def against_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Rows of `against_entry` for the terminal."""
    numbers = ("published", "difference", "low", "high", "p")
    names = ("arm", "metric", "entry", "name")
    table = Table(*names, *numbers, "method", "not comparable", title=AGAINST)
    for row in rows:
        shown = ["-" if row[key] is None else f"{row[key]:.4f}" for key in numbers]
        why_not = ", ".join(row["not_comparable"]) or "-"
        words = (*(row[key] for key in names), *shown, row["method"], why_not)
        table.add_row(*map(escape, words))
    return table


def protocol_of(items: Iterable[str]) -> dict[str, str]:
    """Give the fields that `mtlbench compare --protocol FIELD=VALUE` states.

    Raises:
        StudyError: an item is not of this form.
    """
    from mtlbench.analysis.published import PROTOCOL

    values: dict[str, str] = {}
    for item in items:
        field, separator, value = item.partition("=")
        if not separator or field not in PROTOCOL:
            fields = ", ".join(PROTOCOL)
            raise StudyError(
                f"--protocol must be FIELD=VALUE, FIELD one of {fields}, but got {item!r}"
            )
        values[field] = value
    return values
