"""Published numbers beside ours, each apart and with why it is not comparable."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mtlbench.analysis import (
    PublishedEntry,
    load_published,
    mismatches,
    own_protocol,
    verdict,
    why_disabled,
)
from mtlbench.analysis.against import against_entry
from mtlbench.analysis.dice import LESION
from mtlbench.analysis.protocol import PROTOCOL, Mismatch, field_words
from mtlbench.analysis.published import BEFORE_LAST, LAST, REGISTRY, PublishedRow
from mtlbench.config import CLASSES
from mtlbench.report import text
from mtlbench.report.collect import Study
from mtlbench.report.numbers import Numbers
from mtlbench.report.tables import Block, Entry, Table, difference_entry, without_empty_columns

PUBLISHED_METRICS = ("dice", "dice_lesions", "dice_any", "dice_image", "auc")
Protocols = Mapping[str, Mapping[str, str]]
"""Metric → our own values of the fields that make its numbers comparable."""
UNPAIRED = "The test sets differ: differences are unpaired."


@dataclass(frozen=True, slots=True)
class Published:
    """A registry entry, why its numbers are not comparable with this study's, and by how much."""

    entry: PublishedEntry
    reasons: Mapping[str, Mapping[str, Mismatch]]
    """Published model → field of the protocol → how it differs; empty where comparable."""
    differences: Sequence[Mapping[str, Any]]
    """Rows of `against_entry`, `arm` being a cell's label, `stage` that of our value."""

    @property
    def author(self) -> str:
        """First author and year, for a figure's label."""
        name = self.entry.paper.split()[0].rstrip(",:")
        return f"{name} {self.entry.year}" if self.entry.year else name

    @property
    def models(self) -> dict[str, dict[str, PublishedRow]]:
        """Each published model's numbers, by metric."""
        models: dict[str, dict[str, PublishedRow]] = {}
        for row in self.entry.rows:
            models.setdefault(row.name, {})[row.metric] = row
        return models

    @property
    def why_not(self) -> dict[str, Mismatch]:
        """The fields in which any of its models differs."""
        return _merged(self.reasons.values())


def published(study: Study, numbers: Numbers) -> tuple[tuple[Published, ...], tuple[str, ...]]:
    """Give the entries that the study names, and a warning for each that is not drawn.

    Raises:
        StudyError: the study's own registry in its folder is missing or faulty.
    """
    own = study.folder / REGISTRY if study.config.compare.registry else None
    registry, protocols = load_published(own), _protocols(study, numbers)
    found, warnings = [], []
    for name in study.config.compare.published:
        if fault := why_disabled(registry, name):
            warnings.append(f"compare.published: {fault}")
            continue
        entry = registry[name]
        differences = _differences(study, numbers, entry, protocols)
        found.append(Published(entry, _reasons(entry, protocols, differences), differences))
    return tuple(found), tuple(warnings)


def _reasons(
    entry: PublishedEntry, protocols: Protocols, differences: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, Mismatch]]:
    """Those of all numbers of a model together; the stage only where none of ours has the same."""
    stages = {(row["name"], row["metric"], row["stage"]) for row in differences}
    found: dict[str, list[dict[str, Mismatch]]] = {}
    for row in entry.rows:
        same = (row.name, row.metric, row.stage) in stages
        ours = {**protocols[row.metric], **({"stage": row.stage} if same else {})}
        found.setdefault(row.name, []).append(mismatches(entry, row, ours))
    return {name: _merged(reasons) for name, reasons in found.items()}


def _merged(reasons: Iterable[Mapping[str, Mismatch]]) -> dict[str, Mismatch]:
    """By field in the order of the protocol; a difference goes before what is not stated."""
    pairs = [pair for one in reasons for pair in one.items()]
    found = dict(sorted(pairs, key=lambda pair: pair[1].stated))
    return {field: found[field] for field in PROTOCOL if field in found}


def _differences(
    study: Study, numbers: Numbers, entry: PublishedEntry, protocols: Protocols
) -> list[dict[str, Any]]:
    """Every shown cell against every published number; an arm against its namesake alone."""
    names = {row.name for row in entry.rows}
    rows = []
    for cell in study.shown:
        estimates = [
            {**row, "arm": cell.label, "stage": stage}
            for stage, table in ((LAST, numbers.estimate), (BEFORE_LAST, numbers.before))
            for (name, _), row in table.items()
            if name == cell.name
        ]
        found = against_entry(estimates, entry, protocols)
        rows += [row for row in found if cell.arm not in names or row["name"] == cell.arm]
    return rows


def published_tables(others: Sequence[Published]) -> list[Table]:
    """For each entry its values, then ours less its, where there is anything to compare."""
    return [
        table
        for one in others
        for table in (_values_table(one), _differences_table(one))
        if table.blocks
    ]


def _values_table(one: Published) -> Table:
    """Values by task and strategy, in the shape of the study's own table."""
    rows = []
    for metric in PUBLISHED_METRICS:
        values = [_value(numbers.get(metric)) for numbers in one.models.values()]
        if any(value != text.DASH for value in values):
            rows.append((Entry(f"{text.METRIC_NAMES[metric]}, %"), *map(Entry, values)))
    reasons = "; ".join(f"{field_words(field)}: {why}" for field, why in one.why_not.items())
    read = " (secondary: the paper itself was not read)" if one.entry.status == "secondary" else ""
    notes = (
        f"Not comparable: {reasons}." if reasons else "",
        *(
            f"{row.name}, {text.metric_name(row.metric)}: measured before the last training stage."
            for row in one.entry.rows
            if row.stage == BEFORE_LAST
        ),
        f"Source{read}: {one.entry.source}.",
    )
    return Table(
        f"published-{one.entry.id}",
        _caption(one, "As published by"),
        ("As published", *one.models),
        (Block("", tuple(rows)),) if rows else (),
        tuple(note for note in notes if note),
    )


def _differences_table(one: Published) -> Table:
    """Ours less theirs by what the entry offers."""
    blocks = []
    for metric in PUBLISHED_METRICS:
        rows = [row for row in one.differences if row["metric"] == metric]
        if rows:
            blocks.append(Block(text.METRIC_NAMES[metric], tuple(map(_difference_row, rows))))
    notes = dict.fromkeys(
        f"{row['name']}: {row['note']}."
        for row in one.differences
        if row["note"] and row["low"] is not None  # without it, a dash says that ours has none
    )
    tested = one.why_not and any(row["p"] is not None for row in one.differences)
    protocols = "A p-value says nothing of what other protocols change." if tested else ""
    table = Table(
        f"published-{one.entry.id}-differences",
        _caption(one, "Ours less those of"),
        ("Here", "Published", "Δ [interval], points", "p", "Method"),
        tuple(blocks),
        (" ".join(filter(None, (UNPAIRED, protocols))), *notes),
    )
    return without_empty_columns(table)


def _difference_row(row: Mapping[str, Any]) -> tuple[Entry, ...]:
    stage = " (before the last stage)" if row["stage"] == BEFORE_LAST else ""
    return (
        Entry(row["arm"] + stage),
        Entry(row["name"]),
        difference_entry((row["difference"], row["low"], row["high"])),
        Entry(text.p_value(row["p"])),
        Entry(row["method"]),
    )


def _caption(one: Published, what: str) -> str:
    year = f" ({one.entry.year})" if one.entry.year else ""
    return f"{what} {one.entry.paper}{year}{f'; {verdict(one.why_not)}' if one.why_not else ''}"


def _value(row: PublishedRow | None) -> str:
    if row is None:
        return text.DASH
    limits = f" [{text.percent(row.low)}, {text.percent(row.high)}]" if row.low is not None else ""
    return f"{100 * row.value:.2f}{limits}"


def _protocols(study: Study, numbers: Numbers) -> Protocols:
    """Under each of `PUBLISHED_METRICS`."""
    data, adapter = study.config.data, study.config.dataset
    dataset = study.config.compare.dataset or adapter
    fields = {
        "dataset": dataset if data.subset == "all" else f"{dataset}, {data.subset} images only",
        "label_rule": data.label_rule.describe(adapter),
        "level": "image",
        "input": "breast" if data.crop == "breast" else "whole image",
        "size": "x".join(map(str, data.size)),
        "split": f"{data.folds} folds by patient" if data.folds else _split(study),
        "views": "one",
        "ensemble": "none",
    }
    lesions = tuple(name for name in numbers.classes if name != CLASSES[0])
    averaged = {"dice_lesions": lesions, "dice_any": (LESION,)}
    return {
        metric: own_protocol(metric, averaged.get(metric, numbers.classes), fields)
        for metric in PUBLISHED_METRICS
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
