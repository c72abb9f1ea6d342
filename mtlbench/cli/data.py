"""mtlbench data: check, index, show, prepare, phantom."""

import json
import os
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from mtlbench.config import DataConfig
from mtlbench.errors import DataError, StudyError

if TYPE_CHECKING:
    from mtlbench.data.check import Report
    from mtlbench.data.mammogram import Index

app = typer.Typer(
    help="Check, index and prepare data sets; write phantoms.",
    epilog="Example: mtlbench data check mias /data/mini-mias",
    no_args_is_help=True,
)

Adapter = Annotated[str, typer.Argument(help="ddsm, cbis-ddsm, inbreast, vindr, mias or folder.")]
Root = Annotated[Path, typer.Argument(help="The data set's folder, as downloaded.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.")]
Json = Annotated[bool, typer.Option("--json", help="Print data as JSON on stdout.")]
Columns = Annotated[
    list[str] | None,
    typer.Option("--columns", metavar="OURS=THEIRS", help="A column of a `folder`'s manifest."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A key of a study file's data table, such as intensity=window.",
    ),
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Processes; all cores by default.")]


@app.command(epilog="Example: mtlbench data check mias /data/mini-mias --html sheet.html")
def check(
    adapter: Adapter,
    root: Root,
    columns: Columns = None,
    settings: Settings = None,
    jobs: Jobs = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A page of images with outlines to write.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Report everything wrong or odd about a data set; exit 4 if anything is wrong."""
    from mtlbench.data.check import check as check_index
    from mtlbench.data.check import errors
    from mtlbench.data.select import select
    from mtlbench.data.sheet import write_sheet

    config = _config(columns, settings)
    found = _index(adapter, root, config)
    report = check_index(found, config, _processes(jobs))
    if html is not None:
        title = f"{adapter}: {root.name}"
        cases = select(found, config).mammograms
        write_sheet(title, cases, report, config, html, _processes(jobs))
    if as_json:
        print(json.dumps(_summary(report), indent=2))
    else:
        _print_report(root, report)
    raise typer.Exit(DataError.exit_code if errors(report.findings) else 0)


def _summary(report: "Report") -> dict[str, Any]:
    levels = Counter(finding.level for finding in report.findings)
    return {
        "images": report.n_images,
        "cases": report.n_cases,
        "errors": levels["error"],
        "notes": levels["note"],
        "findings": [f._asdict() | {"action": f.consequence} for f in report.findings],
        "excluded": [entry._asdict() for entry in report.excluded],
    }


def _print_report(root: Path, report: "Report") -> None:
    """Print a table on a terminal, a line a finding elsewhere."""
    console = Console()
    table = Table()
    for name in ("level", "file", "row", "image", "finding", "prepare"):
        table.add_column(name, overflow="fold")
    for finding in report.findings:
        row = "" if finding.row is None else str(finding.row)
        cells = (finding.file, row, finding.image_id, finding.message, finding.consequence)
        table.add_row(finding.level, *map(escape, cells))
        if not console.is_terminal:
            print(f"{finding.level}: {finding._replace(action=finding.consequence)}")
    if console.is_terminal and report.findings:
        console.print(table)
    levels = Counter(finding.level for finding in report.findings)
    print(
        f"{root}: {report.n_images} images, {report.n_cases} cases, "
        f"{len(report.excluded)} left out, {levels['error']} errors, {levels['note']} notes"
    )


@app.command(epilog="Example: mtlbench data index mias /data/mini-mias --out index")
def index(
    adapter: Adapter, root: Root, out: Out, columns: Columns = None, settings: Settings = None
) -> None:
    """Write cases.csv and lesions.csv of a data set; its annotations suffice."""
    from mtlbench.data.index import write_index

    found = _index(adapter, root, _config(columns, settings))
    write_index(found, out)
    absent = {mammogram.image_id for mammogram in found.mammograms if not mammogram.path}
    for finding in found.findings:
        level = "note" if finding.image_id in absent else finding.level
        print(f"{level}: {finding}", file=sys.stderr)
    print(f"{out}: {len(found.mammograms)} images, {len(absent)} of them without a file")


@app.command(epilog="Example: mtlbench data show mias /data/mini-mias mdb001 --out mdb001.png")
def show(
    adapter: Adapter,
    root: Root,
    image_id: Annotated[str, typer.Argument(help="The image's name in the data set.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="A .png or .npy file to write.")],
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Whole rows of a cut-off LJPEG; the others are 0.")
    ] = False,
    columns: Columns = None,
    settings: Settings = None,
) -> None:
    """Write one image: as PNG with its lesions outlined by class, or as NPY just as decoded."""
    from mtlbench.data.show import write_image

    found = _index(adapter, root, _config(columns, settings))
    named = [m for m in found.mammograms if m.image_id == image_id]
    if not named:
        raise StudyError(f"IMAGE_ID must be an image of {root}, but got {image_id!r}")
    missing = write_image(named[0], out, root if salvage else None)
    if missing:
        print(f"{image_id}: {missing} rows are missing and 0", file=sys.stderr)
    print(out)


@app.command(epilog="Example: mtlbench data prepare mias /data/mini-mias --out mias --size 512x384")
def prepare(
    adapter: Adapter,
    root: Root,
    out: Out,
    size: Annotated[str, typer.Option(metavar="HxW", help="Height and width in pixels.")],
    exclude_faulty: Annotated[
        bool, typer.Option("--exclude-faulty", help="Leave out and list images with an error.")
    ] = False,
    columns: Columns = None,
    settings: Settings = None,
    jobs: Jobs = None,
) -> None:
    """Write a data set's memory-mapped arrays, tables and recipe; killed, it goes on."""
    from mtlbench.data.prepare import prepare as write_prepared

    asked: dict[str, Any] = {"size": parse_size(size)}
    if exclude_faulty:
        asked["faulty"] = "exclude"
    config = _config(columns, settings, **asked)
    _refuse_phantom(adapter)
    with _progress() as told:
        prepared = write_prepared(adapter, root, config, out, _processes(jobs), told)
    left_out = len((out / "excluded.csv").read_text(encoding="utf-8").splitlines()) - 1
    patients = prepared.cases["patient_id"].nunique()
    print(
        f"{out}: {len(prepared.cases)} images of {patients} patients, {size}, "
        f"{prepared.recipe['dtype']}; {left_out} left out ({out / 'excluded.csv'})"
    )


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar with the time left on a terminal, a line each tenth elsewhere, on stderr."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _tell_tenths
        return
    columns = (TextColumn("preparing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("")
        yield lambda done, total: bars.update(bar, completed=done, total=total)


def _tell_tenths(done: int, total: int) -> None:
    if 10 * done // total > 10 * (done - 1) // total:
        print(f"prepared {done} of {total} images", file=sys.stderr)


@app.command(epilog="Example: mtlbench data phantom demo --as folder --patients 20")
def phantom(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Empty or new folder.")],
    layout: Annotated[
        str, typer.Option("--as", help="ddsm, cbis-ddsm, inbreast, vindr, mias or folder.")
    ],
    patients: Annotated[int, typer.Option(min=1)] = 20,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    size: Annotated[str, typer.Option(metavar="HxW", help="Height and width.")] = "1152x832",
    difficulty: Annotated[str, typer.Option(help="real or easy.")] = "real",
) -> None:
    """Write phantoms in a data set's own layout."""
    from mtlbench.data.phantoms.writers import WRITERS, write

    if layout not in WRITERS:
        raise StudyError(f"--as must be one of {', '.join(WRITERS)}, but got {layout!r}")
    config = _config(
        None,
        None,
        size=parse_size(size),
        patients=patients,
        phantom_seed=seed,
        difficulty=difficulty,
    )
    write(folder, layout, config)
    print(f"{folder}: {patients} patients as {layout}")


def _index(adapter: str, root: Path, config: DataConfig) -> "Index":
    from mtlbench.data.adapters import read_index

    _refuse_phantom(adapter)
    return read_index(adapter, root, config)


def _refuse_phantom(adapter: str) -> None:
    if adapter == "phantom":
        raise StudyError("phantom is drawn, not read from a folder: see mtlbench data phantom")


def _config(columns: list[str] | None, settings: list[str] | None, **values: Any) -> DataConfig:
    from pydantic import ValidationError

    from mtlbench.config import faults

    for key, text in _pairs("--set", settings):
        _put(values, key, _toml_value(text))
    if columns:
        values["columns"] = dict(_pairs("--columns", columns))
    try:
        return DataConfig(**values)
    except ValidationError as error:
        raise StudyError("\n".join(f"data.{line}" for line in faults(error))) from None


def _pairs(option: str, items: list[str] | None) -> list[tuple[str, str]]:
    pairs = [item.partition("=") for item in items or []]
    if bad := [key for key, separator, _ in pairs if not (key and separator)]:
        raise StudyError(f"{option} must be KEY=VALUE, but got {bad[0]!r}")
    return [(key, value) for key, _, value in pairs]


def _put(values: dict[str, Any], dotted: str, value: object) -> None:
    """Set a dotted key in nested tables."""
    *tables, key = dotted.removeprefix("data.").split(".")
    for name in tables:
        values = values.setdefault(name, {})
        if not isinstance(values, dict):
            raise StudyError(f"--set {dotted}: {name} is a value, not a table")
    values[key] = value


def _toml_value(text: str) -> object:
    """Read a value as TOML would, a bare word as text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _processes(jobs: int | None) -> int:
    return jobs or os.cpu_count() or 1


def parse_size(text: str) -> tuple[int, int]:
    """Height and width of `HxW`.

    Raises:
        StudyError: it is something else.
    """
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise StudyError(f"--size must be HxW in pixels, such as 512x384, but got {text!r}")
    return int(height), int(width)
