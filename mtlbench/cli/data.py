"""mtlbench data: check, index, show, prepare, phantom."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mtlbench.config import DataConfig
from mtlbench.errors import DataError, StudyError

if TYPE_CHECKING:
    from mtlbench.data.mammogram import Index

app = typer.Typer(
    help="Check, index and prepare data sets; write phantoms.",
    epilog="Example: mtlbench data check mias /data/mini-mias",
    no_args_is_help=True,
)

Adapter = Annotated[str, typer.Argument(help="folder or mias.")]
Root = Annotated[Path, typer.Argument(help="The data set's folder.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.")]
Json = Annotated[bool, typer.Option("--json", help="Print data as JSON on stdout.")]
Columns = Annotated[
    list[str] | None,
    typer.Option("--columns", metavar="OURS=THEIRS", help="A column of a `folder`'s manifest."),
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Processes; all cores by default.")]


@app.command(epilog="Example: mtlbench data check mias /data/mini-mias --json")
def check(
    adapter: Adapter, root: Root, columns: Columns = None, jobs: Jobs = None, as_json: Json = False
) -> None:
    """Report everything wrong or odd about a data set; exit 4 if anything is wrong."""
    from mtlbench.data.check import check as check_index
    from mtlbench.data.check import errors

    index = _index(adapter, root, _config(columns))
    findings = check_index(index, jobs or os.cpu_count() or 1)
    wrong = len(errors(findings))
    if as_json:
        summary = {"images": len(index.mammograms), "errors": wrong}
        print(json.dumps(summary | {"findings": [f._asdict() for f in findings]}, indent=2))
    else:
        table = Table("level", "file", "row", "finding")
        for finding in findings:
            row = "" if finding.row is None else str(finding.row)
            table.add_row(finding.level, finding.file, row, finding.message)
        console = Console()
        if findings:
            console.print(table)
        console.print(
            f"{root}: {len(index.mammograms)} images, {wrong} errors, "
            f"{len(findings) - wrong} notes",
            highlight=False,
            soft_wrap=True,
        )
    raise typer.Exit(DataError.exit_code if wrong else 0)


@app.command(epilog="Example: mtlbench data index mias /data/mini-mias --out index")
def index(adapter: Adapter, root: Root, out: Out, columns: Columns = None) -> None:
    """Write cases.csv and lesions.csv of a data set."""
    from mtlbench.data.index import write_index

    found = _index(adapter, root, _config(columns))
    write_index(found, out)
    for finding in found.findings:
        print(f"{finding.level}: {finding}", file=sys.stderr)
    print(f"{out}: {len(found.mammograms)} images")


@app.command(epilog="Example: mtlbench data show mias /data/mini-mias mdb001 --out mdb001.png")
def show(
    adapter: Adapter,
    root: Root,
    image_id: Annotated[str, typer.Argument(help="The image's name in the data set.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="A .png or .npy file to write.")],
    columns: Columns = None,
) -> None:
    """Write one image: as PNG with its lesions outlined by class, or as NPY just as decoded."""
    from mtlbench.data.show import write_image

    index = _index(adapter, root, _config(columns))
    found = next((m for m in index.mammograms if m.image_id == image_id), None)
    if found is None:
        raise StudyError(f"IMAGE_ID must be an image of {root}, but got {image_id!r}")
    write_image(found, out)
    print(out)


@app.command(epilog="Example: mtlbench data prepare mias /data/mini-mias --out mias --size 512x384")
def prepare(
    adapter: Adapter,
    root: Root,
    out: Out,
    size: Annotated[str, typer.Option(metavar="HxW", help="Height and width in pixels.")],
    columns: Columns = None,
    jobs: Jobs = None,
) -> None:
    """Write a data set's memory-mapped arrays, tables and recipe."""
    from mtlbench.data.prepare import prepare as write_prepared

    config = _config(columns, size=_size(size))
    _refuse_phantom(adapter)
    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("preparing")
        prepared = write_prepared(
            adapter, root, config, out, jobs or os.cpu_count() or 1,
            lambda done, total: bars.update(bar, completed=done, total=total),
        )  # fmt: skip
    print(f"{out}: {len(prepared.cases)} images, {size}, {prepared.recipe['dtype']}")


@app.command(epilog="Example: mtlbench data phantom demo --as folder --patients 20")
def phantom(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Empty or new folder.")],
    layout: Annotated[str, typer.Option("--as", help="The layout to write: folder or mias.")],
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
        None, size=_size(size), patients=patients, phantom_seed=seed, difficulty=difficulty
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


def _config(columns: list[str] | None, **values: Any) -> DataConfig:
    from pydantic import ValidationError

    from mtlbench.config import faults

    pairs = [item.partition("=") for item in columns or []]
    if bad := [ours for ours, separator, _ in pairs if not separator]:
        raise StudyError(f"--columns must be OURS=THEIRS, but got {bad[0]!r}")
    try:
        return DataConfig(columns={ours: theirs for ours, _, theirs in pairs}, **values)
    except ValidationError as error:
        raise StudyError("\n".join(f"--{line}" for line in faults(error))) from None


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise StudyError(f"--size must be HxW in pixels, such as 512x384, but got {text!r}")
    return int(height), int(width)
