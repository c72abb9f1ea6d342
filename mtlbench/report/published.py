"""Published numbers beside ours, each apart and with why it is not comparable."""

from dataclasses import dataclass

from mtlbench.analysis import PublishedEntry, load_published, mismatches
from mtlbench.report import text
from mtlbench.report.collect import Study
from mtlbench.report.numbers import Numbers
from mtlbench.report.tables import Block, Entry, Table

SHOWN = ("dice", "auc")
_WORDS = ("no", "one", "two", "three", "four", "five")


@dataclass(frozen=True, slots=True)
class Published:
    """A registry entry and why its numbers are not comparable with this study's."""

    entry: PublishedEntry
    why_not: tuple[str, ...]

    @property
    def author(self) -> str:
        """First author and year, for a figure's label."""
        name = self.entry.paper.split()[0].rstrip(",:")
        return f"{name} {self.entry.year}" if self.entry.year else name

    @property
    def verdict(self) -> str:
        """`not comparable`, or nothing."""
        return "not comparable" if self.why_not else ""


def published(study: Study, numbers: Numbers) -> tuple[tuple[Published, ...], tuple[str, ...]]:
    """Give the entries that the study names, and a warning for each that is not drawn."""
    registry, protocol = load_published(), _protocol(study, numbers)
    found, warnings = [], []
    for name in study.config.compare.published:
        entry = registry.get(name)
        if entry is None:
            warnings.append(f"compare.published: {name!r} is not in the registry")
        elif not entry.enabled:
            warnings.append(f"compare.published: {name!r} is unverified and not shown")
        else:
            found.append(Published(entry, tuple(mismatches(entry, protocol))))
    return tuple(found), tuple(warnings)


def published_table(one: Published) -> Table:
    """Values by task and strategy, in the shape of the study's own table."""
    entry = one.entry
    names = tuple(dict.fromkeys(row.name for row in entry.rows))
    rows = []
    for metric in SHOWN:
        cells = {row.name: row for row in entry.rows if row.metric == metric}
        if cells:
            values = [
                _value(row.value, row.low, row.high) if (row := cells.get(name)) else text.DASH
                for name in names
            ]
            rows.append((Entry(f"{text.METRICS[metric]}, %"), *map(Entry, values)))
    verdict = f", {one.verdict} with ours" if one.why_not else ""
    source = f"Source: {entry.source}."
    why = f"Not comparable: {'; '.join(one.why_not)}." if one.why_not else ""
    return Table(
        f"published-{entry.id}",
        f"Published{verdict}: {entry.paper}{f' ({entry.year})' if entry.year else ''}",
        ("As published", *names),
        (Block("", tuple(rows)),),
        tuple(
            note for note in (why, "The test sets differ: no p-value can be given.", source) if note
        ),
    )


def _value(value: float, low: float | None, high: float | None) -> str:
    shown = f"{100 * value:.2f}"
    return shown if low is None else f"{shown} [{text.percent(low)}, {text.percent(high)}]"


def _protocol(study: Study, numbers: Numbers) -> dict[str, str]:
    """Our own values of the fields that make numbers comparable."""
    data = study.config.data
    height, width = data.size
    cut = "the breast alone" if data.crop == "breast" else "whole image"
    return {
        "dataset": study.config.dataset,
        "version": "" if data.subset == "all" else f"{data.subset} images only",
        "label_rule": data.label_rule.describe(study.config.dataset),
        "level": "image",
        "input": f"{cut}, {height}x{width}",
        "split": f"{data.folds} folds by patient" if data.folds else _split(study),
        "views": "one",
        "ensemble": "none",
        "metric_definition": f"AUC; mean Dice over {_WORDS[len(numbers.classes)]} classes",
    }


def _split(study: Study) -> str:
    """The official split of CBIS-DDSM leaks where masses and calcifications are joined."""
    data = study.config.data
    mended = study.config.dataset == "cbis-ddsm" and data.subset == "all"
    return (
        "official, patients in both moved to test"
        if mended and data.split == "official"
        else data.split
    )
