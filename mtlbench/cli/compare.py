"""mtlbench compare: anyone's predictions.csv, with intervals and paired differences."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mtlbench.errors import StudyError

if TYPE_CHECKING:
    import pandas as pd

EXAMPLE = (
    "Example: mtlbench compare cls=a/predictions.csv joint=b/predictions.csv "
    "--baseline cls --metric auc --metric dice"
)


def compare(
    predictions: Annotated[list[str], typer.Argument(metavar="NAME=predictions.csv ...")],
    baseline: Annotated[
        str | None, typer.Option(help="The name all others are compared to.")
    ] = None,
    metric: Annotated[list[str] | None, typer.Option(help="auc, dice, ...; may repeat.")] = None,
    level: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    resamples: Annotated[int, typer.Option(min=100)] = 10_000,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """Estimate metrics with patient-clustered intervals, and compare on the same patients."""
    from mtlbench import analysis
    from mtlbench.analysis.frame import load_predictions

    frames = {name: load_predictions(path) for name, path in _pairs(predictions).items()}
    result = analysis.compare(
        frames, baseline=baseline, metrics=tuple(metric or ["auc"]), level=level,
        resamples=resamples, seed=seed,
    )  # fmt: skip
    if as_json:
        tables = {"estimates": result.estimates, "comparisons": result.comparisons}
        data: dict[str, Any] = {
            name: json.loads(table.to_json(orient="records", double_precision=15))
            for name, table in tables.items()
        }
        print(json.dumps(data | {"warnings": result.warnings}, indent=2))
        return
    console = Console()
    for title, table in (("Estimates", result.estimates), ("Differences", result.comparisons)):
        if len(table):
            console.print(_rich_table(title, table))
    for warning in result.warnings:
        Console(stderr=True).print(f"note: {warning}", highlight=False, soft_wrap=True)


def _pairs(items: list[str]) -> dict[str, Path]:
    pairs: dict[str, Path] = {}
    for item in items:
        name, separator, path = item.partition("=")
        if not (name and separator and path):
            raise StudyError(f"predictions must be NAME=FILE, but got {item!r}")
        if name in pairs:
            raise StudyError(f"names must be unique, but {name!r} comes twice")
        pairs[name] = Path(path)
    return pairs


def _rich_table(title: str, frame: "pd.DataFrame") -> Table:
    columns = ["arm", "baseline", "metric", "value", "difference", "low", "high", "p", "p_adjusted"]
    columns += ["n_patients", "n_cases", "n_positive", "method"]
    shown = [column for column in columns if column in frame]
    table = Table(*shown, title=title)
    for row in frame[shown].itertuples(index=False):
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
