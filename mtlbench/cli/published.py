"""mtlbench published: the numbers of the field, each with its protocol."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mtlbench.errors import StudyError

app = typer.Typer(help="Published baselines and their protocols.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]
