"""One paragraph that says what was compared, on what, and what may be concluded."""

from mtlbench.analysis.seeds import MIN_SEEDS
from mtlbench.report import text
from mtlbench.report.collect import Cell, Study
from mtlbench.report.numbers import Numbers, Row
from mtlbench.report.tables import ADJUSTED


def summary(study: Study, numbers: Numbers) -> str:
    """Sentences from the data alone; a difference is claimed only where it is supported."""
    parts = [_what(study, numbers)]
    for metric in ("auc", "dice", "dice_lesions"):
        if metric in numbers.metrics():
            parts.append(_metric(study, numbers, metric))
    if any(len(cell.seeds) < MIN_SEEDS for cell in study.complete):
        parts.append(
            "With fewer than three seeds this holds for these trained models, not for the "
            "strategies in general."
        )
    if study.missing:
        parts.append(f"The study is not complete: {'; '.join(study.missing)} are missing.")
    return " ".join(part for part in parts if part)


def _what(study: Study, numbers: Numbers) -> str:
    rows = numbers.estimates.dropna(subset=["value"])
    patients, cases = (text.count(rows[of].max()) for of in ("n_patients", "n_cases"))
    arms = ", ".join(arm.name for arm in study.config.arms)
    cells = len(study.cells)
    points = f" in {cells} cells" if cells > len(study.config.arms) else ""
    return (
        f"The study {study.config.name} compares {arms}{points} on {study.data_name}, "
        f"measured on {cases} test cases of {patients} patients. Differences are from the "
        f"baseline, with {text.level_text(study.config.compare.level)} intervals."
    )


def _metric(study: Study, numbers: Numbers, metric: str) -> str:
    """The baseline, then each arm whose difference is supported, and the best in any case."""
    base = numbers.baselines[metric]
    compared = [c for c in study.shown if (c.name, metric) in numbers.comparison]
    if base is None or not compared:
        return ""
    level = study.config.compare.level
    best = max(compared, key=lambda cell: numbers.value(cell, metric) or 0)
    told = [c for c in compared if c is best or numbers.supported(c, metric, level)]
    lines = "; ".join(_difference(study, numbers, cell, metric) for cell in told)
    start = text.estimate(*_values(numbers.estimate[base.name, metric], "value"))
    return f"{text.METRIC_NAMES[metric]}: {base.label} reaches {start} %; {lines}."


def _difference(study: Study, numbers: Numbers, cell: Cell, metric: str) -> str:
    row = numbers.comparison[cell.name, metric]
    delta = text.difference(*_values(row, "difference"))
    if not row["reliable"]:
        return f"{cell.label} {delta} points (undecided: {row['doubts']})"
    supported = numbers.supported(cell, metric, study.config.compare.level)
    p = text.p_equation(row["p_adjusted"])
    adjusted = ADJUSTED[study.config.compare.adjust]
    return f"{cell.label} {delta} points ({adjusted} {p}, {'' if supported else 'not '}supported)"


def _values(row: Row, first: str) -> tuple[float | None, float | None, float | None]:
    return row[first], row["low"], row["high"]
