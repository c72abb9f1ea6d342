"""The tables of a report as plain values; `latex`, `markdown` and `html` print them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mtlbench.analysis import find_metric
from mtlbench.report import text
from mtlbench.report.collect import Cell, Study
from mtlbench.report.numbers import Numbers


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of a table: a text, or a number with the limits of its interval."""

    text: str
    bold: bool = False
    limits: tuple[str, str] | None = None

    @property
    def full(self) -> str:
        """The text, with the limits in brackets."""
        return f"{self.text} [{', '.join(self.limits)}]" if self.limits else self.text


@dataclass(frozen=True, slots=True)
class Block:
    """Rows under a common heading; no heading where the title is empty."""

    title: str
    rows: tuple[tuple[Entry, ...], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A caption, a header, blocks of rows and the notes below."""

    name: str
    caption: str
    header: tuple[str, ...]
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()


TASKS = (("Seg", "dice"), ("Seg", "dice_lesions"), ("Cls", "auc"))
CHOSEN = "†"
NOTHING = "nothing"
"""What validation data selected for a row that they did not choose."""
FROC_AT = "froc_at_"
ADJUSTED = {"holm": "Holm", "bh": "Benjamini-Hochberg"}
"""Names of what `compare.adjust` says."""


def tasks_table(study: Study, numbers: Numbers, notes: tuple[str, ...]) -> Table:
    """The shape of Table 1 of Le et al. 2019: a row per task, a column per arm."""
    cells = study.shown
    rows = [(Entry("Optimisation steps"), *(Entry(steps(cell)) for cell in cells))]
    for task, metric in reversed(TASKS):
        if metric == "dice" and any((cell.name, metric) in numbers.before for cell in cells):
            rows.insert(0, _before_row(cells, numbers, metric))
        values = tuple(_value(study, numbers, cell, metric, cells) for cell in cells)
        rows.insert(0, (Entry(f"{task} perf ({text.METRIC_NAMES[metric]}, %)"), *values))
    caption = (
        f"Segmentation and classification performance on {study.data_name}, with "
        f"{text.level_text(study.config.compare.level)} intervals"
    )
    names = tuple(_mark(study, cell, cell.label) for cell in cells)
    return Table("tasks", caption, ("Training strategy", *names), (Block("", tuple(rows)),), notes)


def full_table(study: Study, numbers: Numbers, notes: tuple[str, ...]) -> Table:
    """Every cell under every metric, with its difference from the metric's baseline.

    FROC rates that read alike, since no model makes so many false positives, share a block.
    """
    header = _full_header(study)
    alike: list[tuple[list[str], tuple[tuple[Entry, ...], ...]]] = []
    for metric in numbers.all_metrics():
        rows = _full_rows(study, numbers, metric, len(header))
        rates = metric.startswith(FROC_AT) and alike and alike[-1][0][0].startswith(FROC_AT)
        if rates and alike[-1][1] == rows:
            alike[-1][0].append(metric)
        else:
            alike.append(([metric], rows))
    blocks = [Block(_full_title(study, numbers, metrics), rows) for metrics, rows in alike]
    table = Table("full", "All cells under all metrics", header, tuple(blocks), notes)
    return without_empty_columns(table)


def without_empty_columns(table: Table) -> Table:
    """Leave out the columns in which no row has anything."""
    rows = [row for block in table.blocks for row in block.rows]
    kept = [
        i
        for i, _ in enumerate(table.header)
        if not rows or any(row[i].text not in (text.DASH, NOTHING) for row in rows)
    ]
    return replace(
        table,
        header=tuple(table.header[i] for i in kept),
        blocks=tuple(
            replace(block, rows=tuple(tuple(row[i] for i in kept) for row in block.rows))
            for block in table.blocks
        ),
    )


def _full_header(study: Study) -> tuple[str, ...]:
    rules = study.config.compare
    return (
        *("Cell", "Value [interval], %", "Δ [interval], points"),
        *("p", f"{ADJUSTED[rules.adjust]} p"),
        *(["Not inferior, p"] if rules.margins else []),
        *("Seed SD", "Patients / cases / positives", "Seeds", "Steps", "Selected on validation"),
    )


def _full_title(study: Study, numbers: Numbers, metrics: Sequence[str]) -> str:
    metric = metrics[0]
    base, margin = numbers.baselines[metric], study.config.compare.margins.get(metric)
    parts = [f"Δ against {base.label}" if base else "no comparison"]
    parts += [] if find_metric(metric).higher_is_better else ["less is better"]
    parts += [] if margin is None else [f"margin {text.percent(margin)} points"]
    return f"{text.metric_name(*metrics)} ({', '.join(parts)})"


def _delta(numbers: Numbers, cell: Cell, metric: str) -> tuple[float | None, ...]:
    row: Mapping[str, Any] = numbers.comparison.get((cell.name, metric), {})
    return row.get("difference"), row.get("low"), row.get("high")


def _full_rows(
    study: Study, numbers: Numbers, metric: str, width: int
) -> tuple[tuple[Entry, ...], ...]:
    rows = [_full_row(study, numbers, cell, metric) for cell in study.complete]
    rows += [
        _earlier_row(cell, numbers, metric, width)
        for cell in study.complete
        if (cell.name, metric) in numbers.before
    ]
    return tuple(rows)


def _full_row(study: Study, numbers: Numbers, cell: Cell, metric: str) -> tuple[Entry, ...]:
    estimate = numbers.estimate[cell.name, metric]
    paired: Mapping[str, Any] = numbers.comparison.get((cell.name, metric), {})
    delta = difference_entry(_delta(numbers, cell, metric))
    sizes = "/".join(text.count(estimate[f"n_{of}"]) for of in ("patients", "cases", "positive"))
    seeds = f"{len(cell.seeds)}/{len(cell.planned)}"
    rules = study.config.compare
    return (
        Entry(_mark(study, cell, cell.label)),
        _value(study, numbers, cell, metric, study.complete),
        Entry("baseline") if _is_baseline(study, numbers, cell, metric) else delta,
        Entry(text.p_value(paired.get("p"))),
        Entry(text.p_value(paired.get("p_adjusted"))),
        *([Entry(text.p_value(paired.get("p_noninferior")))] if rules.margins else []),
        Entry(text.percent(numbers.seed_sd(cell, metric))),
        Entry(text.DASH if text.absent(estimate["value"]) else sizes),
        Entry(seeds if len(cell.seeds) < len(cell.planned) else str(len(cell.seeds))),
        Entry(steps(cell)),
        Entry(", ".join(selected(study, cell)) or NOTHING),
    )


def _is_baseline(study: Study, numbers: Numbers, cell: Cell, metric: str) -> bool:
    """Whether the cell is the metric's baseline, or has the very same runs."""
    base = numbers.baselines[metric]
    return base is not None and study.same_runs[base.name] == study.same_runs[cell.name]


def _earlier_row(cell: Cell, numbers: Numbers, metric: str, width: int) -> tuple[Entry, ...]:
    return (
        Entry(f"{cell.label} {earlier(cell)}"),
        estimate_entry(numbers.before[cell.name, metric]),
        *[Entry(text.DASH)] * (width - 2),
    )


def _before_row(cells: tuple[Cell, ...], numbers: Numbers, metric: str) -> tuple[Entry, ...]:
    rows = [numbers.before.get((cell.name, metric)) for cell in cells]
    values = (estimate_entry(row) if row else Entry(text.DASH) for row in rows)
    return (Entry(f"… before the last stage ({text.METRIC_NAMES[metric]}, %)"), *values)


def earlier(cell: Cell) -> str:
    """Mark of a row that is measured before its cell's last stage."""
    return f"(before stage {cell.last_stage})"


def _value(
    study: Study, numbers: Numbers, cell: Cell, metric: str, rivals: tuple[Cell, ...]
) -> Entry:
    """The estimate, bold where it is the best and its difference is reliably supported."""
    value = numbers.value(cell, metric)
    bold = value is not None and value == numbers.best(rivals, metric)
    bold = bold and numbers.supported(cell, metric, study.config.compare.level)
    return estimate_entry(numbers.estimate[cell.name, metric], bold)


def estimate_entry(row: Mapping[str, Any], bold: bool = False) -> Entry:
    """A row's value with its interval, in percent."""
    value, low, high = row["value"], row["low"], row["high"]
    if text.absent(low):
        return Entry(text.estimate(value, low, high), bold)
    return Entry(text.percent(value), bold, (text.percent(low), text.percent(high)))


def difference_entry(values: Sequence[float | None]) -> Entry:
    """A difference and its two limits, in points."""
    if any(map(text.absent, values)):
        return Entry(text.difference(*values))
    value, low, high = map(text.signed, values)
    return Entry(value, limits=(low, high))


def _mark(study: Study, cell: Cell, name: str) -> str:
    return f"{name}\N{NO-BREAK SPACE}{CHOSEN}" if study.is_chosen(cell) else name


def steps(cell: Cell) -> str:
    """Optimisation steps of the cell's runs, with those of the stages before."""
    counts = sorted({run.steps for run in cell.runs})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"


def selected(study: Study, cell: Cell) -> list[str]:
    """What validation data chose: the cell among its arm's, the epoch whose weights are kept."""
    rule = epoch_rule(cell)
    cells = [f"cell ({study.config.compare.choose})"] if study.is_chosen(cell) else []
    return cells + ([f"epoch ({rule})"] if rule else [])


def epoch_rule(cell: Cell) -> str | None:
    """The metric that chose the epoch; None where training kept the last one.

    That is so too where a run does not compute the metric that the study names.
    """
    rule = str(cell.runs[0].config["optim"]["select"])
    return rule if rule != "last" and cell.validation(rule) is not None else None
