"""Every number of a report, from `analysis.compare` alone.

The frames are the cells of the study; each metric has its own baseline, and Holm's family is
all cells against it. Nothing is measured here a second way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import stdev
from typing import Any

import pandas as pd

from mtlbench.analysis import compare
from mtlbench.report.collect import Cell, Study
from mtlbench.report.text import METRICS, absent

Row = Mapping[str, Any]

SEED_RESAMPLES = 100
"""Resamples where only the values are used, the fewest that `compare` takes."""


@dataclass(frozen=True)
class Numbers:
    """Estimates and comparisons of a study, keyed by (cell name, metric)."""

    estimates: pd.DataFrame
    """Columns of `compare --json` and `cell`; `arm` is the arm's name."""
    comparisons: pd.DataFrame
    """Columns of `compare --json` and `cell`; `baseline` is a cell's name."""
    estimate: Mapping[tuple[str, str], Row]
    comparison: Mapping[tuple[str, str], Row]
    before: Mapping[tuple[str, str], Row]
    """Estimates of the runs that a cell's runs start from."""
    seed_values: Mapping[tuple[str, str], tuple[float, ...]]
    """Value of each seed of the cell, in its order."""
    baselines: Mapping[str, Cell | None]
    """Baseline cell of each metric; None where it is missing or lacks the metric."""
    classes: tuple[str, ...]
    """The classes whose Dice is averaged."""
    warnings: tuple[str, ...]

    def value(self, cell: Cell, metric: str) -> float | None:
        """The cell's value, None where there is none."""
        value: float | None = self.estimate[cell.name, metric]["value"]
        return None if absent(value) else value

    def seed_sd(self, cell: Cell, metric: str) -> float | None:
        """Standard deviation over seeds (n - 1); None below two seeds."""
        values = [v for v in self.seed_values[cell.name, metric] if not absent(v)]
        return stdev(values) if len(values) > 1 else None

    def supported(self, cell: Cell, metric: str, level: float) -> bool:
        """Whether the cell differs from the baseline at the study's level after Holm."""
        p = self.comparison.get((cell.name, metric), {}).get("p_adjusted")
        return p is not None and not absent(p) and p < 1 - level

    def metrics(self) -> tuple[str, ...]:
        """The metrics that any cell has a value of."""
        present = {key for (_, key), row in self.estimate.items() if not absent(row["value"])}
        return tuple(metric for metric in METRICS if metric in present)


def measure(study: Study) -> Numbers:
    """Estimate every cell and compare it with its metric's baseline."""
    rules = study.config.compare
    settings: dict[str, Any] = {"level": rules.level, "resamples": rules.resamples, "seed": 0}
    frames = {cell.name: cell.frame for cell in study.complete}
    wanted = {metric: baseline_cell(study, metric) for metric in METRICS}
    estimates, comparisons, warnings = [], [], []
    for cell, metrics in _by_baseline(wanted):
        name = cell.name if cell else None
        result = compare(frames, baseline=name, metrics=metrics, **settings)
        estimates.append(result.estimates)
        comparisons.append(result.comparisons)
        warnings += result.warnings
        classes = tuple(result.classes)
    arms = {cell.name: cell.arm for cell in study.complete}
    table, paired = _named(estimates, arms), _named(comparisons, arms)
    estimate, comparison = _keyed(table), _keyed(paired)
    before = {cell.name: cell.before for cell in study.complete if cell.before is not None}
    earlier = (
        _keyed(_named([compare(before, metrics=_DICE, **settings).estimates], arms))
        if before
        else {}
    )
    baselines = {
        metric: cell if cell and not absent(estimate[cell.name, metric]["value"]) else None
        for metric, cell in wanted.items()
    }
    return Numbers(
        estimates=table,
        comparisons=paired,
        estimate=estimate,
        comparison=comparison,
        before=earlier,
        seed_values=_seed_values(study),
        baselines=baselines,
        classes=classes,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def baseline_cell(study: Study, metric: str) -> Cell | None:
    """The cell that a metric is compared with: its arm's representative, else its first cell."""
    named = study.config.baseline
    arm = named if isinstance(named, str) else named.get(_family(metric), "")
    return study.representative(arm) or next(iter(study.of_arm(arm)), None)


def _family(metric: str) -> str:
    return "auc" if metric == "auc" else "dice"


_DICE = tuple(metric for metric in METRICS if _family(metric) == "dice")


def _by_baseline(wanted: Mapping[str, Cell | None]) -> list[tuple[Cell | None, tuple[str, ...]]]:
    names = {metric: cell.name if cell else "" for metric, cell in wanted.items()}
    return [
        (wanted[group[0]], group)
        for name in dict.fromkeys(names.values())
        if (group := tuple(metric for metric in wanted if names[metric] == name))
    ]


def _named(frames: list[pd.DataFrame], arms: Mapping[str, str]) -> pd.DataFrame:
    """`compare`'s rows with its arm as `cell` and the study's arm as `arm`."""
    table = pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)
    cells = table["arm"]
    table = table.assign(arm=cells.map(arms))
    table.insert(0, "cell", cells)
    order = {metric: i for i, metric in enumerate(METRICS)}
    return table.sort_values("metric", key=lambda m: m.map(order), kind="stable", ignore_index=True)


def _keyed(table: pd.DataFrame) -> dict[tuple[str, str], Row]:
    return {(row["cell"], row["metric"]): row for row in table.to_dict("records")}


def _seed_values(study: Study) -> dict[tuple[str, str], tuple[float, ...]]:
    """Values of each (cell, metric) seed by seed, by the definitions of the table."""
    frames = {
        (cell.name, seed): cell.frame[cell.frame["seed"] == seed]
        for cell in study.complete
        for seed in cell.seeds
    }
    names = {f"{i}": key for i, key in enumerate(frames)}
    result = compare(
        dict(zip(names, frames.values(), strict=True)),
        metrics=tuple(METRICS),
        resamples=SEED_RESAMPLES,
    )
    values: dict[tuple[str, str], tuple[float, ...]] = {}
    for row in result.estimates.to_dict("records"):
        key = (names[row["arm"]][0], str(row["metric"]))
        values[key] = (*values.get(key, ()), float(row["value"]))
    return values
