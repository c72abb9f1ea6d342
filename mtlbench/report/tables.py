"""The tables of a report as plain values; `latex`, `markdown` and `html` print them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mtlbench.report import text
from mtlbench.report.collect import Cell, Study
from mtlbench.report.numbers import Numbers


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of a table."""

    text: str
    bold: bool = False


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
FULL_HEADER = (
    "Cell",
    "Value [interval], %",
    "Δ [interval], points",
    "p",
    "Holm p",
    "Seed SD",
    "Patients / cases / positives",
    "Seeds",
    "Steps",
    "Weights kept",
)


def tasks_table(study: Study, numbers: Numbers, notes: tuple[str, ...]) -> Table:
    """The shape of Table 1 of Le et al. 2019: a row per task, a column per arm."""
    cells = study.shown
    rows = [(Entry("Optimisation steps"), *(Entry(_steps(cell)) for cell in cells))]
    for task, metric in reversed(TASKS):
        if metric == "dice" and any((cell.name, metric) in numbers.before for cell in cells):
            rows.insert(0, _before_row(cells, numbers, metric))
        values = tuple(_value(study, numbers, cell, metric, cells) for cell in cells)
        rows.insert(0, (Entry(f"{task} perf ({text.METRICS[metric]}, %)"), *values))
    caption = (
        f"Segmentation and classification performance on {study.config.dataset}, with "
        f"{text.level_text(study.config.compare.level)} intervals"
    )
    names = tuple(_mark(study, cell, cell.label) for cell in cells)
    return Table("tasks", caption, ("Training strategy", *names), (Block("", tuple(rows)),), notes)


def full_table(study: Study, numbers: Numbers, notes: tuple[str, ...]) -> Table:
    """Every cell under every metric, with its difference from the metric's baseline."""
    blocks = []
    for metric in numbers.metrics():
        base = numbers.baselines[metric]
        against = f"Δ against {base.label}" if base else "no comparison"
        rows = [_full_row(study, numbers, cell, metric) for cell in study.complete]
        rows += [
            _earlier_row(cell, numbers, metric)
            for cell in study.complete
            if (cell.name, metric) in numbers.before
        ]
        blocks.append(Block(f"{text.METRICS[metric]} ({against})", tuple(rows)))
    return Table("full", "All cells under all metrics", FULL_HEADER, tuple(blocks), notes)


def tidy_table(study: Study, numbers: Numbers) -> pd.DataFrame:
    """One row per (cell, metric), fractions unrounded; a missing cell has no values."""
    rows = []
    for cell in study.cells:
        for metric in numbers.metrics():
            rows.append(_tidy_row(study, numbers, cell, metric))
            if earlier := numbers.before.get((cell.name, metric)):
                mark = {"cell": f"{cell.name} {_earlier(cell)}", "arm": cell.arm, "metric": metric}
                rows.append(mark | {key: earlier[key] for key in _ESTIMATE})
    return pd.DataFrame(rows)


_ESTIMATE = (
    *("value", "low", "high", "level", "method", "se"),
    *("n_patients", "n_cases", "n_positive", "n_negative"),
)


def _tidy_row(study: Study, numbers: Numbers, cell: Cell, metric: str) -> dict[str, Any]:
    estimate = numbers.estimate.get((cell.name, metric), {})
    paired = numbers.comparison.get((cell.name, metric), {})
    row: dict[str, Any] = {"cell": cell.name, "arm": cell.arm, "metric": metric}
    row |= {key: cell.values.get(key) for key in study.varied}
    row |= {key: estimate.get(key) for key in _ESTIMATE}
    row |= {"baseline": paired.get("baseline"), "difference": paired.get("difference")}
    row |= {f"difference_{end}": paired.get(end) for end in ("low", "high")}
    row |= {key: paired.get(key) for key in ("p", "p_adjusted")}
    row |= {"seeds": len(cell.seeds), "seeds_planned": len(cell.planned)}
    if cell.runs:
        row |= {"seed_sd": numbers.seed_sd(cell, metric), "steps": _steps(cell)}
        row |= {"weights_kept": _select(cell), "chosen_by": _chooser(study, cell)}
    return row


def _full_row(study: Study, numbers: Numbers, cell: Cell, metric: str) -> tuple[Entry, ...]:
    estimate = numbers.estimate[cell.name, metric]
    paired: Mapping[str, Any] = numbers.comparison.get((cell.name, metric), {})
    is_baseline = numbers.baselines[metric] is cell
    delta = text.difference(*(paired.get(key) for key in ("difference", "low", "high")))
    sizes = "/".join(text.count(estimate[f"n_{of}"]) for of in ("patients", "cases", "positive"))
    seeds = f"{len(cell.seeds)}/{len(cell.planned)}"
    return (
        Entry(_mark(study, cell, cell.label)),
        _value(study, numbers, cell, metric, study.complete),
        Entry("baseline" if is_baseline else delta),
        Entry(text.p_value(paired.get("p"))),
        Entry(text.p_value(paired.get("p_adjusted"))),
        Entry(text.percent(numbers.seed_sd(cell, metric))),
        Entry(text.DASH if text.absent(estimate["value"]) else sizes),
        Entry(seeds if len(cell.seeds) < len(cell.planned) else str(len(cell.seeds))),
        Entry(_steps(cell)),
        Entry(_select(cell)),
    )


def _earlier_row(cell: Cell, numbers: Numbers, metric: str) -> tuple[Entry, ...]:
    value = Entry(_interval(numbers.before[cell.name, metric]))
    return (
        Entry(f"{cell.label} {_earlier(cell)}"),
        value,
        *[Entry(text.DASH)] * (len(FULL_HEADER) - 2),
    )


def _before_row(cells: tuple[Cell, ...], numbers: Numbers, metric: str) -> tuple[Entry, ...]:
    rows = [numbers.before.get((cell.name, metric)) for cell in cells]
    values = (Entry(_interval(row) if row else text.DASH) for row in rows)
    return (Entry(f"… before the last stage ({text.METRICS[metric]}, %)"), *values)


def _earlier(cell: Cell) -> str:
    return f"(before stage {cell.last_stage})"


def _value(
    study: Study, numbers: Numbers, cell: Cell, metric: str, rivals: tuple[Cell, ...]
) -> Entry:
    """The estimate, bold where it is the best and its difference is reliably supported."""
    values = {rival.name: numbers.value(rival, metric) for rival in rivals}
    best = max((value for value in values.values() if value is not None), default=None)
    bold = values[cell.name] is not None and values[cell.name] == best
    bold = bold and numbers.supported(cell, metric, study.config.compare.level)
    return Entry(_interval(numbers.estimate[cell.name, metric]), bold)


def _interval(row: Mapping[str, Any]) -> str:
    return text.estimate(row["value"], row["low"], row["high"])


def _mark(study: Study, cell: Cell, name: str) -> str:
    return f"{name}\N{NO-BREAK SPACE}{CHOSEN}" if study.is_chosen(cell) else name


def _chooser(study: Study, cell: Cell) -> str | None:
    return study.config.compare.choose if study.is_chosen(cell) else None


def _steps(cell: Cell) -> str:
    steps = sorted({run.steps for run in cell.runs})
    return str(steps[0]) if len(steps) == 1 else f"{steps[0]}–{steps[-1]}"


def _select(cell: Cell) -> str:
    """Where a run does not compute the metric that selects, training keeps the last epoch."""
    rule = str(cell.runs[0].config["optim"]["select"])
    known = rule != "last" and cell.validation(rule) is not None
    return f"best {rule}" if known else "last epoch"
