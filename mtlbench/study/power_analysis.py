"""What a study's test set can show, said before it is trained: see docs/statistics.md."""

import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from mtlbench.analysis.power import HIGH, LOW, Question, auc_outlook, dice_outlook
from mtlbench.config import CLASSES, StudyConfig
from mtlbench.study.design import Design
from mtlbench.study.power_assumptions import gather
from mtlbench.study.session import Session
from mtlbench.training.strategies import STRATEGIES

_NAMES = {"auc": "AUC", "dice": "mean Dice"}
_WEIGHTS = {"auc": "cls_weight", "dice": "seg_weight"}
_WIDTH = 80
"""Columns of a screen."""


def outlook(session: Session) -> dict[str, Any]:
    """Give what `study plan --json` prints as `power`.

    `test` counts the test set (with folds, of all of them), `assume` has the assumptions and
    `assume_from` where each is from, `metrics` what an arm is trained for. `warning` is one line,
    or None where no difference that matters is expected to be missed.
    """
    study, rules = session.study, session.study.compare
    evidence = gather(rules.assume, session.folder, session.source.parent)
    cases = session.data.cases[session.data.cases["split"] == "test"]
    positives, negatives = (_per_patient(cases, cases["label"] == label) for label in (1, 0))
    of_class = _patients_by_class(cases, session.data.prepared.lesions)
    cells = {metric: _cells(study, session.design, metric) for metric in _NAMES}
    effects = rules.effect.model_dump()
    asked = {
        metric: Question(rules.level, max(cells[metric] - 1, 0), len(study.seeds), effects[metric])
        for metric in _NAMES
    }
    found = [
        auc_outlook(positives, negatives, evidence.assume, asked["auc"]),
        dice_outlook(list(of_class.values()), evidence.assume, asked["dice"]),
    ]
    power: dict[str, Any] = {
        "test": _counts(cases, positives, negatives, of_class),
        "assume": evidence.assume.model_dump(exclude={"pilot"}),
        "assume_from": dict(evidence.sources),
        "metrics": {one.metric: asdict(one) for one in found if cells[one.metric]},
    }
    return power | {"warning": _warning(power)}


def _counts(
    cases: pd.DataFrame, positives: list[int], negatives: list[int], of_class: dict[str, int]
) -> dict[str, Any]:
    lesions = _per_patient(cases, (cases["has_mask"] == 1) & (cases["n_lesions"] > 0))
    return {
        "patients": cases["patient_id"].nunique(),
        "cases": len(cases),
        "positive_patients": len(positives),
        "positive_cases": sum(positives),
        "negative_patients": len(negatives),
        "negative_cases": sum(negatives),
        "lesion_patients": len(lesions),
        "class_patients": of_class,
    }


def describe(power: Mapping[str, Any]) -> list[str]:
    """Give the lines of `outlook` for the screen."""
    test = power["test"]
    of_class = ", ".join(str(n) for n in test["class_patients"].values())
    counts = (
        f"{test['patients']} patients, {test['cases']} cases; "
        f"{test['positive_cases']} positive cases of {test['positive_patients']} patients, "
        f"{test['negative_cases']} negative of {test['negative_patients']}; "
        f"{test['lesion_patients']} patients with an outlined lesion"
        + (f" ({of_class} by class)" if of_class else "")
    )
    lines = ["What the test set can show:", *_wrapped(counts), *_table(power)]
    lines.append("  resting on ([compare.assume] overrides):")
    sources: dict[str, list[str]] = {}
    for key, source in power["assume_from"].items():
        sources.setdefault(source, []).append(f"{key} {power['assume'][key]:.3g}")
    for source, told in sources.items():
        lines += _wrapped(f"{source}: {', '.join(told)}", indent=4)
    return [*lines, f"warning: {power['warning']}"] if power["warning"] else lines


def _table(power: Mapping[str, Any]) -> list[str]:
    """A row for each metric: its interval, and smallest differences by how alike two arms are."""
    assume, rows = power["assume"], []
    for metric, one in power["metrics"].items():
        name = f"  {_NAMES[metric]:<9}  "
        if one["half_width"] is None:
            rows.append(name + "nothing: fewer than two patients of a kind")
            continue
        around = f"{_points(assume[metric])} [{_points(one['low'])}, {_points(one['high'])}]"
        rows.append(f"{name}{around:<20}  {_differences(one, assume[f'{metric}_correlation'])}")
    head = ["  in points  expected interval"]
    tested = [one for one in power["metrics"].values() if one["smallest_difference"] is not None]
    if tested:
        head[0] += "     smallest difference where arms correlate by"
        head.append(f"{'as assumed':>43}{LOW:>9}{HIGH:>8}   of interest")
        levels = {f"{_points(one['level'])} %": None for one in tested}
        rows += _wrapped(
            f"found with {_points(assume['power'])} % power at level {', '.join(levels)}, that of "
            "the hardest of Holm's tests"
        )
    return [*head, *rows]


def _differences(one: Mapping[str, Any], correlation: float) -> str:
    if one["smallest_difference"] is None:
        return "nothing to compare"
    assumed, *ends = (_size(one[key]) for key in ("smallest_difference", "at_low", "at_high"))
    low, high = ends
    told = f"{assumed} (at {correlation:.2g})"
    return f"{told:<14}{low:>6}{high:>8}{_points(one['effect']):>14}"


def _wrapped(text: str, indent: int = 2) -> list[str]:
    margin = " " * indent
    return textwrap.wrap(
        text, _WIDTH, initial_indent=margin, subsequent_indent=margin + "  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _per_patient(cases: pd.DataFrame, chosen: "pd.Series[bool]") -> list[int]:
    """Chosen cases of each patient that has any."""
    sizes: list[int] = cases[chosen.fillna(value=False)].groupby("patient_id").size().tolist()
    return sizes


def _patients_by_class(cases: pd.DataFrame, lesions: pd.DataFrame) -> dict[str, int]:
    """Patients with an outlined lesion of each class that any of them has."""
    outlined = cases.loc[cases["has_mask"] == 1, ["image_id", "patient_id"]]
    found = lesions.dropna(subset="class").merge(outlined, on="image_id")
    sizes = [found.loc[found["class"] == k, "patient_id"].nunique() for k in range(len(CLASSES))]
    return {name: n for name, n in zip(CLASSES, sizes, strict=True) if n}


def _cells(study: StudyConfig, design: Design, metric: str) -> int:
    """How many rows of the table will have the metric; every finalist of a search counts."""
    trained = sum(
        any(getattr(stage, _WEIGHTS[metric]) for stage in STRATEGIES[c.config.strategy](c.config))
        for c in design.cells
    )
    finalists = study.search.finalists if study.search else 0
    return trained + finalists * sum(bool(arm.search) for arm in study.arms)


def _warning(power: Mapping[str, Any]) -> str | None:
    short = []
    for metric, one in power["metrics"].items():
        smallest = one["smallest_difference"]
        if not one["comparisons"] or (smallest is not None and smallest <= one["effect"]):
            continue
        short.append(f"in {_NAMES[metric]} {_found(one)} ({_condition(one)})")
    if not short:
        return None
    return (
        f"this study cannot answer its question: with {_points(power['assume']['power'])} % power "
        f"it finds differences {' and '.join(short)}; see [compare.effect]"
    )


def _found(one: Mapping[str, Any]) -> str:
    smallest = one["smallest_difference"]
    if smallest is None or smallest >= 1:
        return "none"
    return f"from {_points(smallest)} points on"


def _condition(one: Mapping[str, Any]) -> str:
    """What it would take to find the effect."""
    matter, needed = f"{_points(one['effect'])} matter", one["needed_correlation"]
    if one["smallest_difference"] is None:
        return matter
    if needed is None:
        return f"{matter}, not found even where the arms correlate by 0.99"
    return f"{matter}, found only if the arms correlate by at least {needed:.2f}"


def _size(difference: float) -> str:
    return _points(difference) if difference < 1 else "none"


def _points(value: float) -> str:
    return f"{100 * value:.3g}"
