"""mtlbench compare: anyone's predictions.csv, with intervals and paired differences."""

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from mtlbench.cli.compared import difference_tables, estimate_table
from mtlbench.cli.groups import subgroup_tables
from mtlbench.cli.published import Registry, against_table, chosen, protocol_of
from mtlbench.errors import StudyError

if TYPE_CHECKING:
    import pandas as pd

    from mtlbench.analysis import Findings

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
    published: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Set against this published entry (repeatable)."),
    ] = None,
    registry: Registry = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=VALUE", help="Of these predictions (repeatable)."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="Of all intervals: studentised, bca or percentile; default: by metric."),
    ] = None,
    adjust: Annotated[str, typer.Option(help="p over the arms: holm, or bh to explore.")] = "holm",
    margin: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC=M", help="Non-inferiority margin (repeatable)."),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Also within groups of --cases (repeatable)."),
    ] = None,
    cases: Annotated[
        Path | None, typer.Option(metavar="cases.csv", help="Where the groups of --by stand.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """Estimate metrics with patient-clustered intervals, and compare on the same patients."""
    from mtlbench import analysis
    from mtlbench.analysis.against import against_entry

    entries, ours = chosen(published or [], registry), protocol_of(protocol or [])
    paths = _pairs(predictions)
    frames = {name: analysis.load_predictions(path) for name, path in paths.items()}
    metrics = tuple(metric or ["auc"])
    settings: dict[str, Any] = {"level": level, "resamples": resamples, "seed": seed}
    settings |= {"metrics": metrics, "adjust": adjust}
    result = analysis.compare(
        frames,
        baseline=baseline,
        method=method,
        margins=_margins(margin or []),
        findings=_findings(paths, metrics),
        **settings,
    )
    tables = {"estimates": result.estimates, "comparisons": result.comparisons}
    warnings = result.warnings
    if by:
        tables["subgroups"], more = _within_groups(frames, by, cases, baseline, settings)
        warnings = [*warnings, *more]
    rows: list[dict[Any, Any]] = result.estimates.to_dict("records")
    protocols = {
        name: analysis.own_protocol(name, result.classes.get(name, ()), ours) for name in metrics
    }
    beside = [row for entry in entries for row in against_entry(rows, entry, protocols)]
    if as_json:
        data: dict[str, Any] = {
            name: json.loads(table.to_json(orient="records", double_precision=15))
            for name, table in tables.items()
        }
        data |= {"published": beside} if published else {}
        print(json.dumps(data | {"warnings": warnings}, indent=2))
        return
    shown = [
        *([estimate_table(result.estimates, level)] if len(result.estimates) else []),
        *(difference_tables(result.comparisons, adjust) if len(result.comparisons) else ()),
        *(subgroup_tables(tables["subgroups"]) if by else ()),
        *([against_table(beside)] if beside else []),
    ]
    for table in shown:
        Console().print(table, "", sep="")
    for warning in warnings:
        Console(stderr=True).print(
            f"note: {warning}", highlight=False, markup=False, soft_wrap=True
        )


def _margins(items: list[str]) -> dict[str, float]:
    margins = {}
    for item in items:
        name, _, number = item.partition("=")
        try:
            margins[name] = float(number)
        except ValueError:
            raise StudyError(f"--margin must be METRIC=NUMBER, but got {item!r}") from None
    return margins


def _findings(paths: dict[str, Path], metrics: tuple[str, ...]) -> "dict[str, Findings]":
    """Read lesions.csv and candidates.csv beside the predictions, if a metric needs them."""
    from mtlbench.analysis import find_metric, load_findings

    if all(find_metric(metric).needs != "findings" for metric in metrics):
        return {}
    for name, other in itertools.combinations(paths, 2):
        folder = paths[name].parent
        shared = folder == paths[other].parent and paths[name] != paths[other]
        if shared and (folder / "lesions.csv").exists():
            raise StudyError(
                f"{name} and {other}: for FROC each must stand in a folder of its own, since "
                f"lesions.csv and candidates.csv in {folder} are of one of them"
            )
    found = {name: load_findings(path) for name, path in paths.items()}
    return {name: findings for name, findings in found.items() if findings is not None}


def _within_groups(
    frames: "dict[str, pd.DataFrame]",
    by: list[str],
    cases: Path | None,
    baseline: str | None,
    settings: dict[str, Any],
) -> "tuple[pd.DataFrame, list[str]]":
    from mtlbench.analysis.frame import read_table
    from mtlbench.analysis.groups import DERIVED
    from mtlbench.analysis.subgroups import subgroups

    if baseline is None:
        raise StudyError("--by needs --baseline: it asks whether a difference depends on the group")
    if cases is None and not {*by} <= {*DERIVED}:
        raise StudyError(f"--by needs --cases, unless it is {' or '.join(DERIVED)}")
    table = None if cases is None else read_table(cases)
    return subgroups(frames, table, by, baseline=baseline, **settings)


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
