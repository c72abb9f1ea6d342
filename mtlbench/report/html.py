"""`index.html`: one file, style and figures inside, that fetches nothing and runs nothing."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mtlbench.config import CLASSES
from mtlbench.records import digest
from mtlbench.report import text
from mtlbench.report.collect import Study
from mtlbench.report.figures import Saved
from mtlbench.report.methods import spent_by_device
from mtlbench.report.notes import seeds_caption, span
from mtlbench.report.numbers import Numbers
from mtlbench.report.summary import summary
from mtlbench.report.tables import Table

RASTER = ("cases",)
"""Figures of images: they go in as PNG, all others as SVG."""


@dataclass(frozen=True, slots=True)
class Page:
    """What the page says beside its figures."""

    headline: str
    tables: Sequence[Table]
    warnings: Sequence[str]
    methods: str
    bibtex: str


def render(study: Study, numbers: Numbers, page: Page, drawn: Sequence[Saved]) -> str:
    """The whole page; every text is escaped by the template engine."""
    environment = Environment(
        loader=PackageLoader("mtlbench.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = environment.get_template("style.css").render()
    return (
        environment.get_template("template.html.j2").render(
            study=study,
            summary=summary(study, numbers),
            facts=_facts(study, numbers),
            page=page,
            figures=[_figure(saved) for saved in drawn],
            provenance=_provenance(study),
            runs=_runs(study),
            style=style,
            style_hash=b64encode(sha256(style.encode()).digest()).decode(),
        )
        + "\n"
    )


def _figure(saved: Saved) -> dict[str, Any]:
    kind, media = ("png", "image/png") if saved.name in RASTER else ("svg", "image/svg+xml")
    content = b64encode((saved.folder / f"{saved.name}.{kind}").read_bytes()).decode()
    return {
        "name": saved.name,
        "wide": saved.wide,
        "source": f"data:{media};base64,{content}",
        "caption": saved.caption,
        "alt": saved.alt,
    }


def _facts(study: Study, numbers: Numbers) -> list[tuple[str, str]]:
    """The figures at the head of the page: what was measured, on how much."""
    height, width = study.config.data.size
    return [
        ("Data set", study.data_name),
        ("Image size", f"{height} × {width}"),
        ("Test patients", span(numbers, "n_patients")),
        ("Test cases", span(numbers, "n_cases")),
        ("Arms", str(len(study.config.arms))),
        ("Seeds", seeds_caption(study)),
    ]


def _provenance(study: Study) -> list[tuple[str, str]]:
    runs = {run.folder.name: run for cell in study.complete for run in cell.runs}.values()
    versions = {f"{name} {v}" for run in runs for name, v in run.record["versions"].items()}
    height, width = study.config.data.size
    return [
        ("Versions", ", ".join(sorted(versions))),
        ("Device", _each(run.record["device"] for run in runs)),
        ("Git commit", _each(run.record["git_commit"] for run in runs)),
        ("Training", "; ".join(f"{n} runs, {hours}" for n, hours in spent_by_device(study))),
        ("Data", f"{study.recipe['adapter']}, prepared at {height} × {width}"),
        ("Recipe", digest(dict(study.recipe))),
        ("Classes", ", ".join(f"{i} {name}" for i, name in enumerate(CLASSES))),
    ]


def _each(values: Iterable[object]) -> str:
    return ", ".join(sorted({str(value) for value in values}))


def _runs(study: Study) -> list[dict[str, str]]:
    return [
        {
            "cell": cell.name,
            "seed": str(run.seed),
            "fold": text.count(run.fold),
            "name": run.folder.name,
            "before": run.before.name if run.before else "",
            "steps": str(run.steps),
        }
        for cell in study.complete
        for run in cell.runs
    ]
