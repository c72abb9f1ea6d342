"""One paragraph that says what was compared, on what, and what may be concluded."""

from mtlbench.report import text
from mtlbench.report.collect import Cell, Study
from mtlbench.report.notes import RANDOM_SEEDS
from mtlbench.report.numbers import Numbers, Row


def summary(study: Study, numbers: Numbers) -> str:
    """Sentences from the data alone; a difference is claimed only where it is supported."""
    parts = [_what(study, numbers)]
    for metric in ("auc", "dice", "dice_lesions"):
        if metric in numbers.metrics():
            parts.append(_metric(study, numbers, metric))
    if any(len(cell.seeds) < RANDOM_SEEDS for cell in study.complete):
        parts.append(
            "With fewer than three seeds this holds for these trained models, not for the "
            "strategies in general."
        )
    if study.missing:
        parts.append(f"The study is not complete: {'; '.join(study.missing)} are missing.")
    return " ".join(part for part in parts if part)


def _what(study: Study, numbers: Numbers) -> str:
    rows = numbers.estimates.dropna(subset=["value"])
    patients, cases = int(rows["n_patients"].max()), int(rows["n_cases"].max())
    arms = ", ".join(arm.name for arm in study.config.arms)
    cells = len(study.cells)
    points = f" in {cells} cells" if cells > len(study.config.arms) else ""
    return (
        f"The study {study.config.name} compares {arms}{points} on {study.config.dataset}, "
        f"measured on {cases} test cases of {patients} patients."
    )


def _metric(study: Study, numbers: Numbers, metric: str) -> str:
    base = numbers.baselines[metric]
    compared = [c for c in study.shown if (c.name, metric) in numbers.comparison]
    if base is None or not compared:
        return ""
    start = text.estimate(*_values(numbers.estimate[base.name, metric], "value"))
    best = max(compared, key=lambda cell: numbers.value(cell, metric) or 0)
    lines = [f"{text.METRICS[metric]}: {base.label} reaches {start} %."]
    for cell in compared:
        if cell is best or numbers.supported(cell, metric, study.config.compare.level):
            lines.append(_difference(study, numbers, cell, metric))
    return " ".join(lines)


def _difference(study: Study, numbers: Numbers, cell: Cell, metric: str) -> str:
    row = numbers.comparison[cell.name, metric]
    delta = text.difference(*_values(row, "difference"))
    supported = numbers.supported(cell, metric, study.config.compare.level)
    verdict = "supported" if supported else "not supported"
    return (
        f"{cell.label} differs by {delta} points (Holm p {text.p_value(row['p_adjusted'])}): "
        f"a difference {verdict} by these data."
    )


def _values(row: Row, first: str) -> tuple[float | None, float | None, float | None]:
    return row[first], row["low"], row["high"]
