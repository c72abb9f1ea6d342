"""The report's first sentence: what the data support, and what their intervals leave open.

A claim is made only where a difference is supported after the study's correction and reliable. Per
metric one arm is named: the best of those that beat the baseline, else the best of all.
"""

from collections.abc import Mapping
from typing import Any

from mtlbench.report import text
from mtlbench.report.collect import Cell, Study, short_key, short_value
from mtlbench.report.numbers import Numbers
from mtlbench.report.tables import ADJUSTED

HEADLINE = ("auc", "dice")


def headline(study: Study, numbers: Numbers) -> str:
    """One sentence in plain words."""
    shown = [metric for metric in HEADLINE if metric in numbers.metrics()]
    if not shown:
        return "The test set has neither labels nor masks of both kinds: nothing could be measured."
    if len(study.shown) == 1:
        return _alone(study, numbers, shown)
    claims = "; ".join(_claim(study, numbers, metric) for metric in shown)
    sentence = f"{_on(numbers, shown)}, {claims}."
    return f"So far, {sentence[0].lower()}{sentence[1:]}" if study.missing else sentence


def _on(numbers: Numbers, metrics: list[str]) -> str:
    rows = numbers.estimates
    rows = rows[rows["metric"].isin(metrics) & rows["value"].notna()]
    fewest, most = int(rows["n_patients"].min()), int(rows["n_patients"].max())
    return f"On these {most if fewest == most else f'{fewest}–{most}'} test patients"


def _alone(study: Study, numbers: Numbers, metrics: list[str]) -> str:
    """What the only arm reaches."""
    (cell,) = study.shown
    rows = {metric: numbers.estimate[cell.name, metric] for metric in metrics}
    level = text.level_text(study.config.compare.level)
    values = " and ".join(
        f"{text.METRIC_NAMES[metric]} {text.percent(row['value'])} % "
        f"({level} interval {text.percent(row['low'])} to {text.percent(row['high'])})"
        for metric, row in rows.items()
    )
    return f"{_on(numbers, metrics)}, {cell.label} reaches {values}; nothing is compared with it."


def _claim(study: Study, numbers: Numbers, metric: str) -> str:
    base, name = numbers.baselines[metric], text.METRIC_NAMES[metric]
    rivals = [cell for cell in study.shown if (cell.name, metric) in numbers.comparison]
    if base is None or not rivals:
        return f"no arm is compared on {name}, for want of a baseline or of a second arm with it"
    rows = {cell.name: numbers.comparison[cell.name, metric] for cell in rivals}
    level = study.config.compare.level
    supported = [cell for cell in rivals if numbers.supported(cell, metric, level)]
    winners = [cell for cell in supported if rows[cell.name]["difference"] > 0]
    best = max(winners or rivals, key=lambda cell: rows[cell.name]["difference"])
    arm, against = _arm(study, best), f"{_arm(study, base)} on {name}"
    size = _size(study, numbers, best, metric)
    if winners:
        others = [_arm(study, cell) for cell in winners if cell is not best]
        also = f", and so {'does' if len(others) == 1 else 'do'} {' and '.join(others)}"
        return f"{arm} beats {against} ({size}){also if others else ''}"
    if not rows[best.name]["reliable"]:
        doubts = rows[best.name]["doubts"].replace("; ", " and ")
        return f"{arm} against {against} stays undecided because of {doubts} ({size})"
    size += _not_inferior(study, rows[best.name], metric, len(rivals))
    if len(rivals) == 1:
        verdict = "falls short of" if supported else "is not shown to beat"
        return f"{arm} {verdict} {against} ({size})"
    if best in supported:
        return f"no arm beats {against}: even {arm} falls short ({size})"
    return f"no arm is shown to beat {against}: {arm} comes closest ({size})"


def _not_inferior(study: Study, row: Mapping[str, Any], metric: str, rivals: int) -> str:
    """Whether the best of so many arms is shown to be worse by less than the margin."""
    margin, p = study.config.compare.margins.get(metric), row.get("p_noninferior")
    if margin is None or p is None or text.absent(p):
        return ""
    shown = rivals * p <= (1 - study.config.compare.level) / 2  # Bonferroni, one-sided
    verdict = "not inferior" if shown else "not shown to be not inferior"
    return f"; {verdict} by the margin of {text.percent(margin)} points"


def _size(study: Study, numbers: Numbers, cell: Cell, metric: str) -> str:
    """The difference and what its interval leaves open; Holm's p where that alone forbids."""
    row = numbers.comparison[cell.name, metric]
    value, low, high = (row[key] for key in ("difference", "low", "high"))
    size = f"{text.signed(value)} points"
    if text.absent(low):
        return f"{size}, no interval"
    level = text.level_text(study.config.compare.level)
    size += f", {level} interval {text.signed(low)} to {text.signed(high)}"
    alone = row["reliable"] and not low <= 0 <= high
    if alone and not numbers.supported(cell, metric, study.config.compare.level):
        adjusted = ADJUSTED[study.config.compare.adjust]
        size += f", but {adjusted} {text.p_equation(row['p_adjusted'])}"
    return size


def _arm(study: Study, cell: Cell) -> str:
    """The arm's name, with how its cell was found where it has several."""
    if not cell.values:
        return cell.name
    tried = int((study.trials["arm"] == cell.arm).sum())
    if tried:
        return f"{cell.arm} (found in {tried} trials)"
    values = ", ".join(f"{short_key(k)} = {short_value(v)}" for k, v in cell.values.items())
    return f"{cell.arm} at {values}"
