"""mtlbench bench: measure what the README states."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mtlbench.errors import StudyError

EXAMPLE = "Example: mtlbench bench prepare --json"
PACKAGES = (
    "mtlbench", "optuna", "numpy", "pandas", "scipy", "scikit-learn", "imagecodecs", "pydicom",
    "opencv-python-headless", "pylibjpeg-libjpeg",
)  # fmt: skip


def bench(
    name: Annotated[
        str, typer.Argument(help="What to measure: bootstrap, coverage, prepare or study.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """Time parts of mtlbench against the same work by other means, in turn in one run."""
    from mtlbench.bench import BENCHES
    from mtlbench.bench.measure import environment

    if name not in BENCHES:
        raise StudyError(f"NAME must be one of {', '.join(BENCHES)}, but got {name!r}")
    result = BENCHES[name]()
    rows = [_row(row, result.noise) for row in result.rows]
    facts = environment(PACKAGES)
    if as_json:
        report = {"environment": facts, "noise": result.noise, "rows": rows}
        print(json.dumps(report, indent=2))
        return
    table = Table("id", "what", "value", "bar", "holds")
    for row in rows:
        words = {True: "yes", False: "no", None: "-"}
        table.add_row(row["id"], row["what"], _number(row["value"]), _number(row["bar"]),
                      words[row["holds"]])  # fmt: skip
    console = Console()
    console.print(table)
    console.print(f"noise (A against A): {result.noise:.3f}; {facts['processor']}, {facts['date']}")


def _row(row: Any, noise: float) -> dict[str, Any]:
    fields: dict[str, Any] = row._asdict()
    fields.pop("better")
    return fields | {"holds": row.holds(noise)}


def _number(value: float | None) -> str:
    return "not installed" if value is None else f"{value:.3f}"
