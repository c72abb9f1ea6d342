"""Optimism: by how much the validation value of a cell flatters its test value.

Validation data may choose the epoch, the cell of an arm and a search's finalist; what was chosen
for its value there keeps less of it on patients that chose nothing.
"""

from mtlbench.report import text
from mtlbench.report.collect import Cell, Study
from mtlbench.report.numbers import Numbers
from mtlbench.report.tables import Block, Entry, Table

HEADER = ("Cell", "Validation, %", "Test, %", "Optimism, points", "Runs")


def optimism(numbers: Numbers, cell: Cell, metric: str) -> float | None:
    """Mean of `val.<metric>` over the cell's runs less its test value; None without either."""
    validation, test = cell.validation(metric), numbers.value(cell, metric)
    return None if validation is None or test is None else validation - test


def optimism_tables(study: Study, numbers: Numbers) -> list[Table]:
    """One table, a block per metric that runs have of the validation set; none without blocks."""
    blocks = []
    for metric in numbers.metrics():
        rows = tuple(
            _row(numbers, cell, metric)
            for cell in study.complete
            if optimism(numbers, cell, metric) is not None
        )
        if rows:
            blocks.append(Block(text.METRIC_NAMES[metric], rows))
    notes = (
        "Optimism: mean over runs of the validation value less the test value; above 0 where "
        "validation is the better (validation and test patients differ: chance moves it too).",
        "Dice averages the classes in the truth of each part.",
    )
    table = Table("optimism", "Optimism: validation less test", HEADER, tuple(blocks), notes)
    return [table] if blocks else []


def _row(numbers: Numbers, cell: Cell, metric: str) -> tuple[Entry, ...]:
    return (
        Entry(cell.label),
        Entry(text.percent(cell.validation(metric))),
        Entry(text.percent(numbers.value(cell, metric))),
        Entry(text.signed(optimism(numbers, cell, metric))),
        Entry(str(len(cell.runs))),
    )
