"""Every number of a report, from `analysis.compare` alone.

The frames are the cells of the study; each metric has its own baseline, and Holm's family is
all cells against it. Cells of the very same runs are one hypothesis: they are measured once, and
that is told of each. Nothing is measured here a second way.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mtlbench.analysis import compare, find_metric
from mtlbench.analysis.froc import RATES
from mtlbench.report.collect import Cell, Study
from mtlbench.report.text import METRIC_NAMES, absent

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Numbers:
    """Estimates and comparisons of a study, keyed by (cell name, metric)."""

    estimates: pd.DataFrame
    """Columns of `compare --json` and `cell`; `arm` is the arm's name."""
    comparisons: pd.DataFrame
    """Columns of `compare --json` and `cell`; `baseline` is a cell's name."""
    estimate: Mapping[tuple[str, str], Row]
    comparison: Mapping[tuple[str, str], Row]
    """Only those with a difference."""
    before: Mapping[tuple[str, str], Row]
    """Estimates of the runs that a cell's runs start from."""
    baselines: Mapping[str, Cell | None]
    """Baseline cell of each metric; None where it is missing or lacks the metric."""
    seeds: Mapping[tuple[str, str], tuple[float, ...]]
    """Value of each seed under each of `METRIC_NAMES`, in the order of the cell's seeds."""
    classes: tuple[str, ...]
    """The classes whose Dice is averaged."""
    warnings: tuple[str, ...]

    def value(self, cell: Cell, metric: str) -> float | None:
        """The cell's value, None where there is none."""
        value: float | None = self.estimate[cell.name, metric]["value"]
        return None if absent(value) else value

    def seed_sd(self, cell: Cell, metric: str) -> float | None:
        """Standard deviation over seeds (n - 1); None below two seeds."""
        sd: float | None = self.estimate[cell.name, metric]["seed_sd"]
        return None if absent(sd) else sd

    def supported(self, cell: Cell, metric: str, level: float) -> bool:
        """Whether the cell reliably differs from the baseline, by the adjusted p at the level."""
        row = self.comparison.get((cell.name, metric), {})
        p = row.get("p_adjusted")
        return p is not None and not absent(p) and p < 1 - level and bool(row["reliable"])

    def metrics(self) -> tuple[str, ...]:
        """Those of `METRIC_NAMES` that any cell has a value of."""
        return tuple(metric for metric in self.all_metrics() if metric in METRIC_NAMES)

    def all_metrics(self) -> tuple[str, ...]:
        """All metrics that any cell has a value of, the further ones last."""
        present = {key: None for (_, key), row in self.estimate.items() if not absent(row["value"])}
        return tuple(present)

    def best(self, cells: Sequence[Cell], metric: str) -> float | None:
        """The best value of some cells; the smallest where less is better."""
        values = [v for cell in cells if (v := self.value(cell, metric)) is not None]
        choose = max if find_metric(metric).higher_is_better else min
        return choose(values, default=None)


def measure(study: Study) -> Numbers:
    """Estimate every cell and compare it with its metric's baseline."""
    rules = study.config.compare
    settings: dict[str, Any] = {"level": rules.level, "resamples": rules.resamples, "seed": 0}
    first = study.same_runs
    distinct = [cell for cell in study.complete if first[cell.name] == cell.name]
    frames = {cell.name: cell.frame for cell in distinct}  # read before the findings beside them
    findings = {c.name: found for c in distinct if (found := c.findings) is not None}
    metrics = tuple(
        metric
        for metric in asked_metrics(rules.further)
        if findings or find_metric(metric).needs != "findings"  # older folders have none
    )
    baselines = {metric: _baseline(study, metric) for metric in metrics}
    result = compare(
        frames,
        baseline={metric: first[cell.name] for metric, cell in baselines.items() if cell},
        metrics=metrics,
        adjust=rules.adjust,
        margins={metric: margin for metric, margin in rules.margins.items() if metric in metrics},
        findings=findings,
        **settings,
    )
    before = {cell.name: cell.before for cell in distinct if cell.before is not None}
    earlier = compare(before, metrics=_DICE, **settings).estimates if before else None
    estimates, comparisons = _named(result.estimates, study), _named(result.comparisons, study)
    names = {metric: cell.name for metric, cell in baselines.items() if cell}
    comparisons["baseline"] = comparisons["metric"].map(names)
    return Numbers(
        estimates=estimates,
        comparisons=comparisons,
        estimate=_keyed(estimates),
        comparison=_keyed(comparisons.dropna(subset=["difference"])),
        before={} if earlier is None else _keyed(_named(earlier, study)),
        baselines=baselines,
        seeds=_seeds(study, result.seeds),
        classes=result.classes.get("dice", ()),
        warnings=tuple(w for w in result.warnings if not w.startswith(_expected(study))),
    )


def asked_metrics(further: Sequence[str]) -> tuple[str, ...]:
    """Metrics of the tables; the FROC score comes with the sensitivities that it averages."""
    rates = [f"froc_at_{rate:g}" for rate in RATES] if "froc" in further else []
    return tuple(dict.fromkeys([*METRIC_NAMES, *further, *rates]))


def _baseline(study: Study, metric: str) -> Cell | None:
    """The arm's representative, else its first cell; None where that lacks the metric's task."""
    named = study.config.baseline
    arm = named if isinstance(named, str) else named.get(_family(metric), "")
    cell = study.representative(arm) or next(iter(study.of_arm(arm)), None)
    return None if cell is None or _lacks(cell, metric) else cell


def _family(metric: str) -> str:
    return "auc" if find_metric(metric).needs == "scores" else "dice"


def _lacks(cell: Cell, metric: str) -> bool:
    """Whether the cell's strategy leaves the metric's task out."""
    column = "score" if _family(metric) == "auc" else "pred_0"
    return bool(cell.frame[column].isna().all())


_DICE = tuple(metric for metric in METRIC_NAMES if _family(metric) == "dice")


def _named(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Rows of `compare` for each cell that they hold for; the study's arm is `arm`."""
    pairs = [
        (place, cell)
        for cell in study.complete
        for place in table.index[table["arm"] == study.same_runs[cell.name]]
    ]
    pairs.sort(key=lambda pair: pair[0])
    named = table.loc[[place for place, _ in pairs]].assign(arm=[cell.arm for _, cell in pairs])
    named.insert(0, "cell", [cell.name for _, cell in pairs])
    return named.reset_index(drop=True)


def _keyed(table: pd.DataFrame) -> dict[tuple[str, str], Row]:
    rows = ({str(key): value for key, value in row.items()} for row in table.to_dict("records"))
    return {(row["cell"], row["metric"]): row for row in rows}


def _seeds(study: Study, table: pd.DataFrame) -> dict[tuple[str, str], tuple[float, ...]]:
    """NaN for each seed of a cell without the metric."""
    values = {
        (str(row["arm"]), str(row["metric"]), row["seed"]): float(row["value"])
        for row in table.to_dict("records")
    }
    return {
        (cell.name, metric): tuple(
            values.get((study.same_runs[cell.name], metric, seed), math.nan) for seed in cell.seeds
        )
        for cell in study.complete
        for metric in METRIC_NAMES
    }


def _expected(study: Study) -> tuple[str, ...]:
    """How warnings begin that only say that a cell's strategy leaves a task out."""
    metrics = asked_metrics(study.config.compare.further)
    lacking = [(c.name, m) for c in study.complete for m in metrics if _lacks(c, m)]
    return tuple(f"{metric}, {name}{end}" for name, metric in lacking for end in (": no ", " - "))
