"""BibTeX of what a study used: data, network, software and statistics, and whom it is beside."""

import re
from collections.abc import Iterator, Sequence
from importlib import resources

from mtlbench.analysis.seeds import MIN_SEEDS
from mtlbench.report import text
from mtlbench.report.collect import Study
from mtlbench.report.latex_text import latex
from mtlbench.report.numbers import Numbers
from mtlbench.report.published import Published

PAPER = "le2019-table1"
"""The registry's entry of the paper that is cited anyway."""


def bibtex(study: Study, numbers: Numbers, others: Sequence[Published]) -> str:
    """The entries of `references.bib` that the study used, then the published ones it names."""
    known = _known()
    entries = [known[key] for key in _used(study, numbers)]
    runs = [run for cell in study.complete for run in cell.runs]
    versions = sorted({str(run.record["versions"].get("mtlbench")) for run in runs})
    entries[0] = entries[0].replace("VERSION", ", ".join(versions))
    entries += [_published(one) for one in others if one.entry.id != PAPER]
    return "\n\n".join(entries) + "\n"


def _known() -> dict[str, str]:
    """Key → entry, as it stands in the file."""
    source = resources.files("mtlbench.report").joinpath("references.bib").read_text("utf-8")
    entries = [entry.strip() for entry in re.split(r"\n\n(?=@)", source)]
    return {entry[entry.index("{") + 1 : entry.index(",")]: entry for entry in entries}


def _used(study: Study, numbers: Numbers) -> Iterator[str]:
    yield from ("mtlbench", "le2019")
    named = (key for key, name in text.DATASETS.items() if study.data_name.startswith(name))
    yield from (key for key in named if key in _known())
    yield from ("he2016", "pytorch", "loshchilov2019")  # every backbone is a residual network
    if len(study.trials):
        yield "optuna"
    methods = " ".join(map(str, numbers.estimates["method"].dropna().unique()))
    if "studentised" in methods or "Hillis" in methods:
        yield "hall1988"
    if "BCa" in methods:
        yield "efron1987"
    if "auc" in numbers.metrics():
        yield "obuchowski1997" if study.cases["patient_id"].duplicated().any() else "delong1988"
        yield "wilson1927"
    if any(len(cell.seeds) >= MIN_SEEDS for cell in study.complete):
        yield from ("obuchowski1995", "hillis2007")
    yield {"holm": "holm1979", "bh": "benjamini1995"}[study.config.compare.adjust]


def _published(one: Published) -> str:
    fields = {"title": one.entry.paper, "year": one.entry.year, "note": one.entry.source}
    lines = [  # a second brace keeps BibTeX from lowering a title's capitals
        f"  {key:5} = {{{{{latex(str(value))}}}}}" for key, value in fields.items() if value
    ]
    return f"@misc{{{one.entry.id},\n" + ",\n".join(lines) + "\n}"
