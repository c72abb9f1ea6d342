"""mtlbench published: the numbers of the field, each with its protocol."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mtlbench.errors import StudyError

app = typer.Typer(
    help="Published baselines and their protocols.",
    epilog="Example: mtlbench published list",
    no_args_is_help=True,
)
Json = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]


@app.command("list", epilog="Example: mtlbench published list")
def list_(as_json: Json = False) -> None:
    """List every entry: what was measured, on what, and whether the source was read."""
    from mtlbench.analysis.published import load_published

    entries = load_published()
    if as_json:
        print(
            json.dumps(
                {name: entry.model_dump(mode="json") for name, entry in entries.items()}, indent=2
            )
        )
        return
    table = Table("id", "paper", "data set", "status")
    for name, entry in entries.items():
        table.add_row(name, entry.paper, entry.dataset or "not stated", entry.status)
    Console().print(table)


@app.command(epilog="Example: mtlbench published show le2019-table1 --json")
def show(name: str, as_json: Json = False) -> None:
    """Show one entry with its protocol and source."""
    from mtlbench.analysis.published import load_published

    entries = load_published()
    if name not in entries:
        raise StudyError(f"{name}: must be one of {', '.join(entries)}")
    values = entries[name].model_dump(mode="json")
    if as_json:
        print(json.dumps(values, indent=2))
    else:
        Console().print(values)
