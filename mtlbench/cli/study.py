"""mtlbench study: list, init, check, plan, run, retry, status, report, schema."""

import json
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mtlbench.errors import StudyError

if TYPE_CHECKING:
    from mtlbench.study.session import Session

app = typer.Typer(
    help="Run studies and draw their reports.",
    epilog="Example: mtlbench study run quickstart",
    no_args_is_help=True,
)

StudyName = Annotated[str, typer.Argument(metavar="STUDY.toml", help="A file or a shipped study.")]
Results = Annotated[Path, typer.Option(metavar="DIR", help="Where results/<study>/ lies.")]
Data = Annotated[
    list[str] | None, typer.Option("--data", metavar="NAME=DIR", help="Folder of a data set.")
]
Json = Annotated[bool, typer.Option("--json", help="Print data as JSON on stdout.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
ResultsFolder = Annotated[Path, typer.Argument(metavar="RESULTS/STUDY")]


@app.command("list", epilog="Example: mtlbench study list")
def list_(as_json: Json = False) -> None:
    """List the shipped studies."""
    from mtlbench.study.shipped import shipped

    about = {name: _first_comment(path) for name, path in shipped().items()}
    if as_json:
        print(json.dumps(about, indent=2))
        return
    table = Table("study", "what it asks")
    for name, line in about.items():
        table.add_row(name, line)
    Console().print(table)


@app.command(epilog="Example: mtlbench study init lambda")
def init(name: Annotated[str, typer.Argument(help="A shipped study.")]) -> None:
    """Write a copy of a shipped study here, to edit."""
    from mtlbench.study.shipped import init_study

    print(init_study(name, Path()))


@app.command(epilog="Example: mtlbench study check my-study.toml")
def check(study: StudyName, as_json: Json = False) -> None:
    """Validate a study file and print every fault with its dotted key; nothing is run."""
    from mtlbench.study.cells import read_study_file
    from mtlbench.study.shipped import find_study

    path = find_study(study)
    try:
        loaded, cells = read_study_file(path)
    except StudyError as error:
        if as_json:
            print(json.dumps({"cells": 0, "faults": str(error).splitlines()}, indent=2))
        raise
    if as_json:
        print(json.dumps({"cells": len(cells), "faults": []}, indent=2))
    else:
        search = loaded.search
        trials = f", {search.trials} trials of each arm that is searched" if search else ""
        print(f"{path}: ok, {len(cells)} cells{trials}")


@app.command(epilog="Example: mtlbench study schema > study.schema.json")
def schema() -> None:
    """Print the JSON Schema of a study file, for editors that complete and check TOML."""
    from mtlbench.config import study_schema

    print(json.dumps(study_schema(), indent=2))


@app.command(epilog="Example: mtlbench study plan lambda --json")
def plan(
    study: StudyName,
    results: Results = Path("results"),
    data: Data = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Show the cells and runs, which are done or shared, and what they will cost."""
    session = _open(study, results, data)
    _print_plan(_plan(session, device), session.folder, as_json)


@app.command(epilog="Example: mtlbench study run table1_mias --data mias=/data/mini-mias --jobs 2")
def run(
    study: StudyName,
    results: Results = Path("results"),
    data: Data = None,
    device: Device = "auto",
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time.")] = None,
    executor: Annotated[
        str, typer.Option(help="Where runs are computed: local, ray or slurm.")
    ] = "local",
    only: Annotated[
        list[str] | None, typer.Option(metavar="ARM", help="Compute this arm only (repeatable).")
    ] = None,
    store: Annotated[
        str | None, typer.Option(metavar="URL", help="Optuna storage; default: optuna.db.")
    ] = None,
    tracker: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Mirror to tensorboard, mlflow or wandb (repeatable)."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, run nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Compute what a study lacks and draw its report; go on where an earlier run was stopped."""
    from mtlbench.report import build
    from mtlbench.study.executors import EXECUTORS, choose_devices, is_elsewhere
    from mtlbench.study.power_analysis import outlook
    from mtlbench.study.session import Options, drive
    from mtlbench.study.status import status as read_status
    from mtlbench.study.trackers import TRACKERS

    _require("--executor", [executor], EXECUTORS)
    _require("--tracker", tracker or [], TRACKERS)
    session = _open(study, results, data)
    _require("--only", only or [], [arm.name for arm in session.study.arms])
    if dry_run:
        _print_plan(_plan(session, device), session.folder, as_json)
        return
    console = Console(stderr=True)
    if warning := outlook(session)["warning"]:
        _warn(warning)
    resources = session.study.resources
    slots = choose_devices(
        device, jobs, resources.threads, resources.gpus_per_run, elsewhere=is_elsewhere(executor)
    )
    options = Options(slots, executor, store, tracker or (), only or ())
    failures = drive(session, options, console)
    outcome = read_status(session.folder)
    report = build(session.folder, warn=_warn) if outcome["done"] else None
    outcome["report"] = None if report is None else str(report)
    if as_json:
        print(json.dumps(outcome, indent=2))
    elif report is not None:
        from rich.markdown import Markdown

        _print_failures(outcome)
        first_table = (report / "table.md").read_text(encoding="utf-8").split("\n## ")[1]
        Console().print(Markdown("## " + first_table))
        print(f"{report / 'index.html'}")
    raise typer.Exit(3 if failures else 0)


@app.command(epilog="Example: mtlbench study retry results/table1 && mtlbench study run table1")
def retry(folder: ResultsFolder, as_json: Json = False) -> None:
    """Let runs that failed too often be tried again by the next `study run`."""
    from mtlbench.study.retry import forgive

    names = forgive(folder)
    if as_json:
        print(json.dumps({"retried": names}, indent=2))
    else:
        print("\n".join(names) or "no run has failed")


@app.command(epilog="Example: mtlbench study status results/table1 --json")
def status(folder: ResultsFolder, as_json: Json = False) -> None:
    """Show how far a study is, from its files."""
    from mtlbench.study.status import status as read_status

    _print_plan(read_status(folder), folder, as_json)


@app.command(epilog="Example: mtlbench study report results/table1 --no-images")
def report(
    folder: ResultsFolder,
    no_images: Annotated[
        bool, typer.Option("--no-images", help="Leave out everything with pixels of images.")
    ] = False,
) -> None:
    """Draw tables and figures again, from the study's files only."""
    from mtlbench.report import build

    print(build(folder, images=not no_images, warn=_warn) / "index.html")


def _warn(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr)


def _open(study: str, results: Path, data: list[str] | None) -> "Session":
    from mtlbench.study.session import open_session
    from mtlbench.study.shipped import find_study

    places = {}
    for item in data or []:
        name, separator, folder = item.partition("=")
        if not separator or not folder:
            raise StudyError(f"--data must be NAME=DIR, but got {item!r}")
        places[name] = Path(folder)
    return open_session(find_study(study), results, places, Console(stderr=True))


def _plan(session: "Session", device: str) -> dict[str, Any]:
    from mtlbench.study.batches import rehearse_batches
    from mtlbench.study.cost import estimate_s
    from mtlbench.study.executors import choose_devices
    from mtlbench.study.power_analysis import outlook
    from mtlbench.study.session import open_search, unchanged_design
    from mtlbench.study.status import plan as make_plan
    from mtlbench.study.weights import to_make_again

    study, search = session.study, open_search(session)
    design = unchanged_design(session, search)
    slots = choose_devices(device, None, study.resources.threads, study.resources.gpus_per_run)
    seconds = estimate_s(study, session.data, design, session.folder, slots[0][0])
    return make_plan(design.cells_table()[1], session.folder) | {
        "search": search.counts() if search else {},
        "weights_again": [run.hash for run in to_make_again(session.folder, design.runs)],
        "estimated_s": round(seconds / len(slots), 1),
        "batches": rehearse_batches(study, session.data, session.design, slots[0][0]),
        "power": outlook(session),
    }


def _print_plan(plan: dict[str, Any], folder: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps(plan, indent=2))
        return
    from mtlbench.study.status import by_cell, partly_here

    rows = by_cell(plan)
    table = Table("cell", "runs", "state", "steps", "shared with")
    for row in rows:
        table.add_row(*(escape(value) for value in row.values()))
    console = Console()
    console.print(table)
    console.print(
        f"{folder}: {plan['cells']} cells, {plan['runs']} runs: {plan['done']} done, "
        f"{plan['running']} running, {plan['interrupted']} interrupted, "
        f"{plan['failed']} failed; {plan['shared']} shared",
        highlight=False,
        soft_wrap=True,
    )
    if told := partly_here(plan):
        console.print(told, highlight=False, markup=False, soft_wrap=True)
    for arm, counts in plan.get("search", {}).items():
        console.print(_search_line(arm, counts), highlight=False, markup=False, soft_wrap=True)
    if "estimated_s" in plan:
        minutes = plan["estimated_s"] / 60
        about = "at most about" if plan.get("search") else "about"  # trials may be pruned
        again = len(plan["weights_again"])
        lost = f"; complete runs to be trained again for their weights: {again}" if again else ""
        console.print(
            f"left to train: {about} {minutes:.1f} minutes on this machine{lost}",
            highlight=False,
            soft_wrap=True,
        )
    if "power" in plan:
        from mtlbench.study import batches, power_analysis

        told = "\n".join(
            [*batches.describe(plan["batches"]), *power_analysis.describe(plan["power"])]
        )
        console.print(told, highlight=False, markup=False, soft_wrap=True)
    for arm, states in plan["trials"].items():
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        console.print(f"trials of {arm}: {told}", highlight=False, markup=False)
    _print_failures(plan)


def _search_line(arm: str, counts: Mapping[str, int]) -> str:
    so_far = " so far" if counts["done"] < counts["trials"] else ""
    return (
        f"{arm}: {counts['done']} of {counts['trials']} trials done; {counts['found']} of "
        f"{counts['finalists']} finalists found{so_far}, each trained in {counts['runs_each']} runs"
    )


def _print_failures(plan: dict[str, Any]) -> None:
    """Each failed run with its reason, on stderr."""
    for row in {row["hash"]: row for row in plan["rows"] if row["state"] == "failed"}.values():
        print(f"{row['hash']} failed: {row['error']}", file=sys.stderr)


def _require(flag: str, names: Collection[str], known: Collection[str]) -> None:
    if strangers := sorted(set(names) - set(known)):
        raise StudyError(f"{flag} must be one of {', '.join(known)}, but got {strangers[0]!r}")


def _first_comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip()
