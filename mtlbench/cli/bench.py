"""mtlbench bench: measure what the README states."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mtlbench.cli.data import parse_size

PACKAGES = (
    "mtlbench", "torch", "torchvision", "optuna", "numpy", "pandas", "scipy", "scikit-learn",
    "imagecodecs", "pydicom", "opencv-python-headless", "pylibjpeg-libjpeg", "lightning", "monai",
    "segmentation-models-pytorch", "blosc2",
)  # fmt: skip
OTHERS = {
    "bootstrap": "Intervals of `compare` against a loop over scikit-learn.",
    "coverage": "How often intervals hold the true value of simulated test sets.",
    "loss": "The loss tail against torch's upsampling and cross-entropy.",
    "prepare": "Decoding, resizing and preparing against the fastest libraries.",
    "study": "What the driver costs a run, in a study of 10,000.",
}
Json = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]

app = typer.Typer(
    help="Time parts of mtlbench against the same work by other means, in turn in one run.",
    no_args_is_help=True,
)


@app.command(epilog="Example: mtlbench bench train --json --peers")
def train(
    as_json: Json = False,
    peers: Annotated[bool, typer.Option("--peers", help="Other libraries too.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    backbone: Annotated[
        str | None, typer.Option(help="Of the real step; resnet18, and resnet50 on a GPU.")
    ] = None,
    output_stride: Annotated[int, typer.Option(help="8, 16 or 32.")] = 32,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="1152x832, on a CPU 288x224.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="16, on a CPU 2.")] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(help="Only this one (repeatable), such as speed."),
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Profile of a few steps, for Perfetto.")
    ] = None,
) -> None:
    """The training loop, its data path and its speed, against the device's limits and peers."""
    pixels = parse_size(size) if size else None
    _show("train", as_json, device, backbone, output_stride, pixels, batch_size,
          only=part or (), peers=peers, trace=trace)  # fmt: skip


def _add(name: str, what: str) -> None:
    @app.command(name, help=what, epilog=f"Example: mtlbench bench {name} --json")
    def command(as_json: Json = False) -> None:
        _show(name, as_json)


for _name, _what in OTHERS.items():
    _add(_name, _what)


def _show(name: str, as_json: bool, *arguments: Any, **options: Any) -> None:
    """Run a bench and print its rows; what is said while it runs goes to stderr."""
    from mtlbench.bench import BENCHES
    from mtlbench.bench.measure import environment

    with contextlib.redirect_stdout(sys.stderr):
        result = BENCHES[name](*arguments, **options)
    rows = [_row(row, result.noise) for row in result.rows]
    facts = environment(PACKAGES) | dict(result.facts)
    if as_json:
        print(json.dumps({"environment": facts, "noise": result.noise, "rows": rows}, indent=2))
        return
    _print(rows, result.noise, facts)


def _print(rows: list[dict[str, Any]], noise: float | None, facts: dict[str, Any]) -> None:
    table = Table("what", "value", "unit", "bar", "holds", "noise")
    judged = {True: "yes", False: "no", None: "-"}
    for row in rows:
        value, bar, own = (_number(row[name]) for name in ("value", "bar", "noise"))
        what = f"[bold]{row['id']}[/bold]\n{escape(row['what'])}"
        table.add_row(what, value, row["unit"], bar, judged[row["holds"]], own)
    console = Console(highlight=False)
    console.print(table)
    said = "not measured" if noise is None else _number(noise)
    console.print(f"noise, the largest of a work against itself: {said}")
    packages = facts.pop("packages")
    facts |= {name: packages[name] for name in ("mtlbench", "torch")}
    for name, fact in facts.items():
        words = ", ".join(fact) if isinstance(fact, list) else fact
        console.print(f"{name}: {words}", markup=False)


def _row(row: Any, noise: float | None) -> dict[str, Any]:
    fields: dict[str, Any] = row._asdict()
    fields.pop("better")
    return fields | {"holds": row.holds(noise)}


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
