"""What must stand below a table for its numbers to be read rightly."""

from collections.abc import Sequence

import pandas as pd

from mtlbench.analysis.seeds import MIN_SEEDS
from mtlbench.report import definitions, text
from mtlbench.report.collect import Cell, Study
from mtlbench.report.numbers import Numbers
from mtlbench.report.reservations import missing, searched, undefined, unreliable
from mtlbench.report.tables import ADJUSTED, CHOSEN, TASKS, selected

TASKS_METRICS = tuple(metric for _, metric in TASKS)

_BUDGET = {
    "per-stage": "every stage of a strategy gets the full budget, so a strategy of two stages "
    "trains for twice the steps",
    "total": "every strategy gets the same optimisation steps in all",
}


def tasks_notes(study: Study, numbers: Numbers) -> tuple[str, ...]:
    """What the small table needs to stand alone."""
    notes = (
        _method(study, numbers, TASKS_METRICS),
        _bold(study),
        unreliable(numbers, TASKS_METRICS),
        definitions.empty(TASKS_METRICS),
        _split(study),
        _seeds(study, numbers, TASKS_METRICS),
        _chosen(study),
        searched(study, numbers),
        missing(study),
    )
    return tuple(note for note in notes if note)


def full_notes(study: Study, numbers: Numbers) -> tuple[str, ...]:
    """Method, metrics, split, budget, seeds and what is missing: one sentence or two each."""
    notes = (
        _method(study, numbers, numbers.all_metrics()),
        _comparison(study, numbers),
        _margins(study),
        _bold(study),
        unreliable(numbers, numbers.all_metrics()),
        *definitions.of_metrics(numbers),
        _split(study),
        _budget(study),
        _seeds(study, numbers, numbers.metrics()),
        _seed_sd(study),
        _selected(study),
        _chosen(study),
        searched(study, numbers),
        undefined(study, numbers),
        missing(study),
    )
    return tuple(note for note in notes if note)


def seeds_caption(study: Study) -> str:
    """`means of 3 seeds`, or that the numbers hold for these trained models only."""
    counts = sorted({len(cell.seeds) for cell in study.complete})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    if counts == [1]:
        return "one seed; these trained models only"
    if counts[0] < MIN_SEEDS:
        return f"mean of {seeds} seeds; these trained models only"
    return f"mean of {seeds} seeds, taken as random"


def basis(study: Study, numbers: Numbers, rows: pd.DataFrame) -> str:
    """What a figure's numbers stand on: patients, cases, level, method and seeds.

    `rows` are those that it draws: estimates, or comparisons, whose scale is another.
    """
    rules = study.config.compare
    return (
        f"{span(numbers, 'n_patients')} test patients, {span(numbers, 'n_cases')} cases; "
        f"{text.level_text(rules.level)} intervals by {interval_methods(study, rows)}; "
        f"{seeds_caption(study)}"
    )


def span(numbers: Numbers, column: str) -> str:
    """The one value of a count over all estimates, or the smallest and largest."""
    values = numbers.estimates.dropna(subset=["value"])[column]
    if values.empty:
        return text.DASH
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low}–{high}"


def interval_methods(
    study: Study, rows: pd.DataFrame, metrics: Sequence[str] = tuple(text.METRIC_NAMES)
) -> str:
    """How the intervals of some metrics were made, those of a minority by the metrics' names.

    `rows` are estimates or comparisons.

    Only a bootstrap's depend on the number of resamples.
    """
    rows = rows[rows["metric"].isin(metrics)].dropna(subset=["low"])
    users = {str(m): part["metric"].unique() for m, part in rows.groupby("method", sort=False)}
    drawn = f" ({study.config.compare.resamples} resamples)"
    ranked = sorted(users, key=lambda method: -len(users[method]))
    parts = [method + drawn * ("bootstrap" in method) for method in ranked[:1]]
    parts += [f"{', '.join(map(text.metric_name, users[m]))} by {m}" for m in ranked[1:]]
    return "; ".join(parts) or "no method (none could be estimated)"


def _method(study: Study, numbers: Numbers, metrics: Sequence[str]) -> str:
    rules = study.config.compare
    return (
        f"Brackets: {text.level_text(rules.level)} intervals of the test set’s patients by "
        f"{interval_methods(study, numbers.estimates, metrics)}."
    )


def _comparison(study: Study, numbers: Numbers) -> str:
    methods = interval_methods(study, numbers.comparisons, numbers.all_metrics())
    lines = [
        f"Δ: paired difference from the baseline on the same patients, its interval by {methods}. "
        f"{ADJUSTED[study.config.compare.adjust]} p: adjusted over all cells within one metric. "
        "Positives: cancers where scores are measured, cases with a lesion where masks are."
    ]
    lines += [
        f"{' and '.join(names)} have the same runs: one hypothesis, counted once."
        for names in _alike(study)
    ]
    alone = [text.metric_name(m) for m in numbers.all_metrics() if numbers.baselines[m] is None]
    if alone:
        lines.append(f"No comparison, since the baseline has no value: {', '.join(alone)}.")
    return " ".join(lines)


def _alike(study: Study) -> list[list[str]]:
    """Labels of the cells that have the same runs as another."""
    groups: dict[str, list[str]] = {}
    for cell in study.complete:
        groups.setdefault(study.same_runs[cell.name], []).append(cell.label)
    return [labels for labels in groups.values() if len(labels) > 1]


def _margins(study: Study) -> str:
    if not study.config.compare.margins:
        return ""
    return (
        "Not inferior, p: one-sided, of being worse than the baseline by the margin or more; "
        "adjusted for nothing."
    )


def _bold(study: Study) -> str:
    rules = study.config.compare
    return (
        "Bold: the best value, where its difference from the baseline is supported "
        f"({ADJUSTED[rules.adjust]} p < {1 - rules.level:.2g}) and reliable."
    )


def _split(study: Study) -> str:
    return f"Split: {split_rule(study)}. Values are of the test part, which no choice used."


def split_rule(study: Study) -> str:
    """How patients were divided, and into how many."""
    data, cases = study.config.data, study.cases
    sizes = ", ".join(
        f"{part} {rows['patient_id'].nunique()}/{len(rows)}"
        for part in ("train", "val", "test")
        if len(rows := cases[cases["split"] == part])
    )
    rule = {
        "patient": f"by patient, stratified, split seed {data.split_seed}",
        "official": "with the data set’s official test set",
    }[data.split]
    folds = f"; {data.folds}-fold cross-validation" if data.folds else ""
    return f"{rule}{folds} (patients/cases: {sizes})"


def _budget(study: Study) -> str:
    return f"Budget: {study.config.budget.rule}, {budget_rule(study)}."


def budget_rule(study: Study) -> str:
    """How long an arm trains, and what of it is the same for all."""
    budget = study.config.budget
    amount = f"{budget.epochs} epochs" if budget.epochs else f"{budget.steps} steps"
    return f"{amount}: {_BUDGET[budget.rule]}"


def _seeds(study: Study, numbers: Numbers, metrics: Sequence[str]) -> str:
    lines = [f"Values: {seeds_caption(study)}."]
    few = [cell for cell in study.complete if len(cell.seeds) < MIN_SEEDS]
    if few:
        lines.append(
            f"With fewer than {MIN_SEEDS} seeds an interval covers the sampling of patients, not "
            "the variation between trainings."
        )
    ranges = [r for metric in metrics for cell in few if (r := _wide_range(cell, numbers, metric))]
    if ranges:
        lines.append(f"Range over seeds where it is wider than the interval: {'; '.join(ranges)}.")
    return " ".join(lines)


def _wide_range(cell: Cell, numbers: Numbers, metric: str) -> str:
    """`sequential, Mean Dice 20.0 to 27.8`; empty where the interval is as wide as the seeds."""
    row, seeds = numbers.estimate[cell.name, metric], numbers.seeds[cell.name, metric]
    if text.absent(row["low"]) or max(seeds) - min(seeds) <= row["high"] - row["low"]:
        return ""
    ends = f"{text.percent(min(seeds))} to {text.percent(max(seeds))}"
    return f"{cell.label}, {text.metric_name(metric)} {ends}"


def _seed_sd(study: Study) -> str:
    several = any(len(cell.seeds) > 1 for cell in study.complete)
    return "Seed SD: standard deviation over seeds, in points." if several else ""


def _selected(study: Study) -> str:
    if not any(selected(study, cell) for cell in study.complete):
        return "Validation data selected nothing: the last epoch’s weights are tested."
    return (
        "Selected on validation: what validation data chose for the row; where that is not the "
        "epoch, the last epoch’s weights are tested."
    )


def _chosen(study: Study) -> str:
    lines = []
    if any(study.is_chosen(cell) for cell in study.complete):
        lines.append(
            f"{CHOSEN} stands for its arm: of the arm’s cells the one with the best mean "
            f"{study.config.compare.choose} (chosen by {study.config.compare.choose}, on "
            "validation data)."
        )
    for arm in study.config.arms:
        if study.representative(arm.name) is None and len(study.of_arm(arm.name)) > 1:
            lines.append(f"No cell stands for {arm.name}: each is shown.")
    return " ".join(lines)
