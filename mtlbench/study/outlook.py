"""What a study's test set can show, said before it is trained: see docs/statistics.md."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from mtlbench.analysis.power import auc_outlook, dice_outlook
from mtlbench.config import StudyConfig
from mtlbench.study.data import StudyData
from mtlbench.study.design import Design
from mtlbench.training.strategies import STRATEGIES

_NAMES = {"auc": "AUC", "dice": "mean Dice"}
_WEIGHTS = {"auc": "cls_weight", "dice": "seg_weight"}


def outlook(study: StudyConfig, design: Design, data: StudyData) -> dict[str, Any]:
    """Give what `study plan --json` prints as `power`: test set, assumptions, metrics, `warning`.

    With folds, the test set is that of all of them. A metric that no arm is trained for is left
    out. `warning` is one line, or None where no difference that matters is expected to be missed.
    """
    rules = study.compare
    cases = data.cases[data.cases["split"] == "test"]
    positives, negatives = (_per_patient(cases, cases["label"] == label) for label in (1, 0))
    lesions = _per_patient(cases, (cases["has_mask"] == 1) & (cases["n_lesions"] > 0))
    cells = {metric: _cells(study, design, metric) for metric in _NAMES}
    shared: dict[str, Any] = {"level": rules.level, "seeds": len(study.seeds)}
    found = [
        auc_outlook(
            positives, negatives, rules.assume, comparisons=max(cells["auc"] - 1, 0), **shared
        ),
        dice_outlook(len(lesions), rules.assume, comparisons=max(cells["dice"] - 1, 0), **shared),
    ]
    effects = rules.effect.model_dump()
    power: dict[str, Any] = {
        "test": {
            "patients": cases["patient_id"].nunique(),
            "cases": len(cases),
            "positive_patients": len(positives),
            "positive_cases": sum(positives),
            "negative_patients": len(negatives),
            "negative_cases": sum(negatives),
            "lesion_patients": len(lesions),
        },
        "assume": rules.assume.model_dump(),
        "metrics": {
            one.metric: asdict(one) | {"effect": effects[one.metric]}
            for one in found
            if cells[one.metric]
        },
    }
    return power | {"warning": _warning(power)}


def describe(power: Mapping[str, Any]) -> list[str]:
    """Give the lines of `outlook` for the screen."""
    test, assume = power["test"], power["assume"]
    lines = [
        "What the test set can show:",
        f"  {test['patients']} patients, {test['cases']} cases; "
        f"{test['positive_cases']} positive cases of {test['positive_patients']} patients, "
        f"{test['negative_cases']} negative of {test['negative_patients']}; "
        f"{test['lesion_patients']} patients with an outlined lesion",
    ]
    for one in power["metrics"].values():
        name, value = _NAMES[one["metric"]], _points(assume[one["metric"]])
        if one["half_width"] is None:
            lines.append(f"  {name}: nothing, since fewer than two patients of a kind are there")
            continue
        lines.append(
            f"  {name}: an interval of {_points(one['low'])} to {_points(one['high'])} around "
            f"{value} (± {_points(one['half_width'])} points)"
        )
        if one["comparisons"]:
            lines[-1] += (
                f"; differences found with {_points(assume['power'])} % power: {_found(one)} "
                f"(level {_points(one['level'])} %, Holm's hardest of {one['comparisons']}; "
                f"{_points(one['effect'])} matter)"
            )
    told = ", ".join(f"{key} {value:g}" for key, value in assume.items())
    lines.append(f"  assumed ([compare.assume]): {told}")
    return [*lines, f"warning: {power['warning']}"] if power["warning"] else lines


def _per_patient(cases: pd.DataFrame, chosen: "pd.Series[bool]") -> list[int]:
    """Chosen cases of each patient that has any."""
    sizes: list[int] = cases[chosen.fillna(value=False)].groupby("patient_id").size().tolist()
    return sizes


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
    for one in power["metrics"].values():
        smallest = one["smallest_difference"]
        if not one["comparisons"] or (smallest is not None and smallest <= one["effect"]):
            continue
        short.append(f"in {_NAMES[one['metric']]} {_found(one)} ({_points(one['effect'])} matter)")
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


def _points(value: float) -> str:
    return f"{100 * value:.3g}"
