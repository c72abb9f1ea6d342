"""`build`: draw the whole report beside the old one, then swap the two."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mtlbench.report import html, latex, markdown
from mtlbench.report.collect import read_study
from mtlbench.report.figures import draw_all, kept
from mtlbench.report.files import write_csv
from mtlbench.report.headline import headline
from mtlbench.report.html import Page
from mtlbench.report.importance import importance_table, importances
from mtlbench.report.methods import methods
from mtlbench.report.notes import full_notes, tasks_notes
from mtlbench.report.numbers import measure
from mtlbench.report.optimism import optimism_tables
from mtlbench.report.published import published, published_tables
from mtlbench.report.references import bibtex
from mtlbench.report.subgroups import in_subgroups, subgroups_table
from mtlbench.report.tables import full_table, tasks_table
from mtlbench.report.tidy import tidy_table

STALE_S = 3600
"""Age from which a temporary folder is the leftover of a killed report."""


def build(
    study_folder: Path, *, images: bool = True, warn: Callable[[str], None] = lambda _: None
) -> Path:
    """Draw `study_folder/report` from the study's files and return it.

    The same files give the same bytes. A study that is half done gives a report of what is
    complete, with the rest listed as missing. The old report stays until the new one is whole.

    Args:
        study_folder: `results/<study>`.
        images: whether the qualitative panels, which show the images, are drawn.
        warn: is told which files of images are gone, and what that makes of the report.

    Raises:
        StudyError: the folder holds no study, or no run of it is complete.
        DataError: a file of it is not as it must be; the message names it.
    """
    study = read_study(study_folder)
    numbers = measure(study)
    others, unknown = published(study, numbers)
    mattered = importances(study)
    grouped, said = in_subgroups(study, numbers)
    tables = [
        tasks_table(study, numbers, tasks_notes(study, numbers)),
        *published_tables(others),
        full_table(study, numbers, full_notes(study, numbers)),
        *optimism_tables(study, numbers),
        *([subgroups_table(study, grouped, said)] if study.config.compare.subgroups else []),
        *([] if mattered.empty else [importance_table(study, mattered)]),
    ]
    gone = kept.warning(study) if images else ""
    if gone:
        warn(gone)
    page = Page(
        headline=headline(study, numbers),
        tables=tables,
        warnings=(*study.damaged, *filter(None, [gone]), *unknown, *numbers.warnings),
        methods=methods(study, numbers),
        bibtex=bibtex(study, numbers, others),
    )
    with _swapped(study_folder / "report") as folder:
        for name, table in {
            "table": tidy_table(study, numbers),
            "estimates": numbers.estimates,
            "comparisons": numbers.comparisons,
            **({} if mattered.empty else {"importances": mattered}),
            **({} if grouped.empty else {"subgroups": grouped}),
        }.items():
            write_csv(folder / f"{name}.csv", table)
        _write(folder / "table.md", markdown.document(study.config.name, tables))
        _write(folder / "table.tex", latex.document(tables))
        _write(folder / "methods.md", f"{page.methods}\n")
        _write(folder / "references.bib", page.bibtex)
        drawn = draw_all(study, numbers, folder / "figures", images=images)
        _write(folder / "index.html", html.render(study, numbers, page, drawn))
    return study_folder / "report"


@contextmanager
def _swapped(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its place when the body succeeds."""
    for old in target.parent.glob(f".{target.name}.*"):
        if time.time() - old.stat().st_mtime > STALE_S:
            shutil.rmtree(old, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        new, old = work / "new", work / "old"
        new.mkdir()
        yield new
        if target.exists():
            target.rename(old)
        new.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8", newline="\n")
