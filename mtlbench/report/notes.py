"""What must stand below a table for its numbers to be read rightly."""

import pandas as pd

from mtlbench.analysis.rows import MAX_UNDEFINED, MIN_PATIENTS
from mtlbench.report import text
from mtlbench.report.collect import Study
from mtlbench.report.numbers import Numbers
from mtlbench.report.tables import CHOSEN

RANDOM_SEEDS = 3
"""From this many seeds on, `compare` treats them as random."""

_BUDGET = {
    "per-stage": "every stage of a strategy gets the full budget, so one of two stages trains "
    "for twice the steps",
    "total": "every strategy gets the same optimisation steps in all",
}


def tasks_notes(study: Study, numbers: Numbers) -> tuple[str, ...]:
    """What the small table needs to stand alone."""
    notes = (
        _method(study, numbers),
        _bold(study),
        _unreliable(numbers),
        _empty(numbers),
        _split(study),
        _seeds(study),
        _chosen(study),
        _searched(study, numbers),
        _missing(study),
    )
    return tuple(note for note in notes if note)


def full_notes(study: Study, numbers: Numbers) -> tuple[str, ...]:
    """Method, metrics, split, budget, seeds and what is missing: one sentence or two each."""
    notes = (
        _method(study, numbers),
        _comparison(numbers),
        _bold(study),
        _unreliable(numbers),
        _dice(numbers),
        _empty(numbers),
        _split(study),
        _budget(study),
        _seeds(study),
        _selected(),
        _chosen(study),
        _searched(study, numbers),
        _undefined(numbers),
        _missing(study),
    )
    return tuple(note for note in notes if note)


def seeds_caption(study: Study) -> str:
    """`means of 3 seeds`, or that the numbers hold for these trained models only."""
    counts = sorted({len(cell.seeds) for cell in study.complete})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    noun = "seed" if counts == [1] else "seeds"
    if counts[0] < RANDOM_SEEDS:
        return f"mean of {seeds} {noun}; these trained models only"
    return f"mean of {seeds} {noun}, taken as random"


def basis(study: Study, numbers: Numbers) -> str:
    """What every figure's numbers stand on: patients, cases, level, method and seeds."""
    rules = study.config.compare
    return (
        f"{span(numbers, 'n_patients')} test patients, {span(numbers, 'n_cases')} cases; "
        f"{text.level_text(rules.level)} intervals by {interval_methods(study, numbers)}; "
        f"{seeds_caption(study)}"
    )


def span(numbers: Numbers, column: str) -> str:
    """The one value of a count over all estimates, or the smallest and largest."""
    values = numbers.estimates.dropna(subset=["value"])[column]
    if values.empty:
        return text.DASH
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low}–{high}"


def interval_methods(study: Study, numbers: Numbers) -> str:
    """How the intervals were made; only a bootstrap's depend on the number of resamples."""
    methods = map(str, numbers.estimates.dropna(subset=["low"])["method"].unique())
    drawn = f" ({study.config.compare.resamples} resamples)"
    named = [method + drawn * ("bootstrap" in method) for method in methods]
    return " or ".join(named) or "no method (none could be estimated)"


def _method(study: Study, numbers: Numbers) -> str:
    rules = study.config.compare
    return (
        f"Brackets: {text.level_text(rules.level)} intervals of the test set’s patients by "
        f"{interval_methods(study, numbers)}."
    )


def _comparison(numbers: Numbers) -> str:
    lines = [
        "Δ: paired difference from the baseline on the same patients. Holm p: adjusted "
        "over all cells within one metric. Positives: cancers for AUC, cases with a lesion for "
        "Dice."
    ]
    alone = [text.METRICS[m] for m in numbers.metrics() if numbers.baselines[m] is None]
    if alone:
        lines.append(f"No comparison, since the baseline has no value: {', '.join(alone)}.")
    return " ".join(lines)


def _bold(study: Study) -> str:
    alpha = 1 - study.config.compare.level
    return (
        "Bold: the best value, where its difference from the baseline is supported "
        f"(Holm p < {alpha:.2g}) and reliable."
    )


def _unreliable(numbers: Numbers) -> str:
    """Name the intervals of few patients or undefined resamples: none of them is printed bold."""
    parts = []
    for metric in numbers.metrics():
        own = _unreliable_cells(numbers.estimates, metric, "value")
        base = numbers.baselines[metric]
        paired = _unreliable_cells(numbers.comparisons, metric, "difference")
        paired = [name for name in paired if not {name, base and base.name} & {*own}]
        for what, names in ((text.METRICS[metric], own), (f"Δ {text.METRICS[metric]}", paired)):
            if names:
                parts.append(f"{what} of {', '.join(names)}")
    if not parts:
        return ""
    return (
        f"Fewer than {MIN_PATIENTS} test patients in a class, or more than "
        f"{100 * MAX_UNDEFINED:g} % of the resamples undefined: intervals and p are unreliable: "
        f"{'; '.join(parts)}."
    )


def _unreliable_cells(table: pd.DataFrame, metric: str, value: str) -> list[str]:
    rows = table[(table["metric"] == metric) & table[value].notna() & ~table["reliable"]]
    return [str(name) for name in rows["cell"]]


def _dice(numbers: Numbers) -> str:
    if not any(metric.startswith("dice") for metric in numbers.metrics()):
        return ""
    return (
        f"Mean Dice: Dice over the pooled pixels of the test set, averaged over "
        f"{', '.join(numbers.classes)} (the classes in the test set’s truth). Lesion Dice leaves "
        "healthy out; any-lesion Dice is lesion against healthy; per-image Dice averages over "
        "images, then classes."
    )


def _empty(numbers: Numbers) -> str:
    """What Dice makes of a class without a pixel."""
    known = numbers.metrics()
    pooled = any(metric.startswith("dice") and metric != "dice_image" for metric in known)
    rules = []
    if pooled:
        rules.append("pooled Dice leaves out classes that the whole test set’s truth lacks")
    if "dice_image" in known:
        rules.append(
            "per-image Dice skips a class in neither truth nor prediction and counts 0 for one "
            "only predicted"
        )
    return f"Empty masks: {'; '.join(rules)}." if rules else ""


def _split(study: Study) -> str:
    return f"Split: {split_rule(study)}. Values are of the test part, which nothing was chosen on."


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
        "official": "the data set’s official test set",
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


def _seeds(study: Study) -> str:
    return f"Values: {seeds_caption(study)}. Seed SD: standard deviation over seeds, in points."


def _selected() -> str:
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


def _searched(study: Study, numbers: Numbers) -> str:
    """How many configurations were tried before the test set was opened, and what that flattered.

    Optimism: the best trial's value, found by looking for it, less the test value of the same
    metric of the finalist that stands for the arm, trained afresh.
    """
    lines = []
    for arm, trials in study.trials.groupby("arm", sort=False):
        states = trials["state"].value_counts()
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        line = f"{arm}: {len(trials)} configurations were searched on validation data ({told})"
        cell = study.representative(str(arm))
        metric = study.config.compare.choose or ""
        test = None if cell is None else numbers.value(cell, metric.removeprefix("val."))
        if test is not None and metric in trials:
            best = pd.to_numeric(trials[metric], errors="coerce").max()
            line += (
                f"; the best trial’s {metric} is {text.percent(best)}, the finalist’s test value "
                f"{text.percent(test)} (optimism {text.percent(best - test)} points)"
            )
        lines.append(f"{line}.")
    return " ".join(lines)


def _undefined(numbers: Numbers) -> str:
    rows = numbers.estimates
    rows = rows[rows["n_undefined"].fillna(0) > 0]
    if rows.empty:
        return ""
    worst = rows.sort_values("n_undefined").iloc[-1]
    return (
        f"Resamples in which a metric is undefined are left out: at most {worst['n_undefined']:g} "
        f"({text.METRICS[worst['metric']]} of {worst['cell']})."
    )


def _missing(study: Study) -> str:
    if not study.missing:
        return ""
    return f"Missing, since their runs are not complete: {'; '.join(study.missing)}."
