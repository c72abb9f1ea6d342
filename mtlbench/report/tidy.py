"""`table.csv`: every number of the tables as a fraction, a row per cell and metric."""

from typing import Any

import pandas as pd

from mtlbench.report.collect import Cell, Study
from mtlbench.report.numbers import Numbers
from mtlbench.report.optimism import optimism
from mtlbench.report.tables import earlier, epoch_rule, selected, steps

_ESTIMATE = (
    *("value", "low", "high", "level", "method", "se"),
    *("n_patients", "n_cases", "n_positive", "n_negative"),
)


def tidy_table(study: Study, numbers: Numbers) -> pd.DataFrame:
    """One row per (cell, metric), fractions unrounded; a missing cell has no values."""
    rows = []
    for cell in study.cells:
        for metric in numbers.all_metrics():
            rows.append(_tidy_row(study, numbers, cell, metric))
            if before := numbers.before.get((cell.name, metric)):
                mark = {"cell": f"{cell.name} {earlier(cell)}", "arm": cell.arm, "metric": metric}
                rows.append(mark | {key: before[key] for key in _ESTIMATE})
    return pd.DataFrame(rows)


def _tidy_row(study: Study, numbers: Numbers, cell: Cell, metric: str) -> dict[str, Any]:
    estimate = numbers.estimate.get((cell.name, metric), {})
    paired = numbers.comparison.get((cell.name, metric), {})
    row: dict[str, Any] = {"cell": cell.name, "arm": cell.arm, "metric": metric}
    row |= {key: cell.values.get(key) for key in study.varied}
    row |= {key: estimate.get(key) for key in _ESTIMATE}
    row |= {"baseline": paired.get("baseline"), "difference": paired.get("difference")}
    row |= {f"difference_{end}": paired.get(end) for end in ("low", "high")}
    row |= {key: paired.get(key) for key in ("p", "p_adjusted", "margin", "p_noninferior")}
    row |= {"seeds": len(cell.seeds), "seeds_planned": len(cell.planned)}
    if cell.runs:
        row |= {"seed_sd": numbers.seed_sd(cell, metric), "steps": steps(cell)}
        rule = epoch_rule(cell)
        row |= {"weights_kept": f"best {rule}" if rule else "last epoch"}
        row |= {"chosen_by": study.config.compare.choose if study.is_chosen(cell) else None}
        row |= {"selection_set": "validation" if selected(study, cell) else "none"}
        row |= {"validation": cell.validation(metric)}
        row |= {"optimism": optimism(numbers, cell, metric)}
    return row
