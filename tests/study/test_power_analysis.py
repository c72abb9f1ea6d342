"""Test sets counted by hand, and what a study says of them."""

from dataclasses import asdict, replace

import pandas as pd
import pytest

from mtlbench.analysis.power import Question, auc_outlook, dice_outlook
from mtlbench.config import AssumeConfig, load_study
from mtlbench.study.cells import expand
from mtlbench.study.data import load_data
from mtlbench.study.design import build_design
from mtlbench.study.power_analysis import describe, outlook
from mtlbench.study.session import Session

CASES = pd.DataFrame(
    [
        ("train", "p0", 1, 1, 1),
        *[("test", f"p{n}", 1, 1, 2) for n in (1, 1, 2, 3)],
        *[("test", f"p{n}", 0, 1, 0) for n in (3, 4, 5, 5, 5)],
        ("test", "p6", None, 1, 1),
        ("test", "p7", 0, 0, 1),
    ],
    columns=["split", "patient_id", "label", "has_mask", "n_lesions"],
).astype({"label": "Int64"})


CASES["image_id"] = [f"i{n}" for n in range(len(CASES))]
LESIONS = pd.DataFrame(
    [
        *[("i0", 3), ("i1", 1), ("i1", 2), ("i2", 2), ("i3", 2), ("i3", 4), ("i4", 4)],
        *[("i4", None), ("i10", 1), ("i11", 3)],
    ],
    columns=["image_id", "class"],
).astype({"class": "Int64"})
"""Class 1 in p1 and p6, 2 in p1 (two images) and p2, 4 in p2 and p3; 3 only where none counts."""


@pytest.fixture
def power_of(study_file, tmp_path):
    """Give the outlook of the tiny study, with replacements, on other cases."""

    def make(*replacements, cases=CASES, lesions=LESIONS):
        file = study_file(*replacements)
        study = load_study(file)
        data = load_data(study, {})
        design = build_design(study, expand(study), data)
        data = replace(data, cases=cases, prepared=replace(data.prepared, lesions=lesions))
        return outlook(Session(file, study, data, design, tmp_path / "results"))

    return make


def test_the_test_set_is_counted_by_patient(power_of):
    power = power_of()
    assert power["test"] == {
        "patients": 7, "cases": 11,
        "positive_patients": 3, "positive_cases": 4,
        "negative_patients": 4, "negative_cases": 6,
        "lesion_patients": 4,
        "class_patients": {"benign mass": 2, "malignant mass": 2, "malignant calcification": 2},
    }  # fmt: skip


def test_numbers_are_of_these_counts_and_of_the_tables_comparisons(power_of):
    """AUC: cls, sequential and joint; Dice: seg, sequential and joint, so two comparisons each."""
    power = power_of(("[base.model]", "[compare.assume]\nauc = 0.7\n[base.model]"))
    assume = AssumeConfig(auc=0.7)
    auc = auc_outlook([2, 1, 1], [1, 1, 3, 1], assume, Question(0.95, 2, 2, 0.0265))
    dice = dice_outlook([2, 2, 2], assume, Question(0.95, 2, 2, 0.033))
    found = power["metrics"]
    assert found == {"auc": asdict(auc), "dice": asdict(dice)}
    assert found["auc"]["level"] == pytest.approx(0.975)
    assert power["assume"]["auc"] == 0.7
    assert power["assume_from"]["auc"] == "set in [compare.assume]"


def test_a_metric_that_nobody_trains_is_left_out_and_a_lone_one_is_not_compared(power_of):
    segmenting = [(f'strategy = "{name}" }}', 'strategy = "cls" }') for name in ("joint", "seg")]
    power = power_of(*segmenting, ('dice = "seg"', 'dice = "sequential"'))
    assert power["metrics"]["dice"]["comparisons"] == 0
    assert "mean Dice" not in power["warning"]
    assert any("mean Dice" in line and "nothing to compare" in line for line in describe(power))
    power = power_of(*segmenting, ('strategy = "sequential" }', 'strategy = "cls" }'))
    assert set(power["metrics"]) == {"auc"}


def many(times):
    cases = [CASES.assign(patient_id=CASES["patient_id"] + f"_{n}") for n in range(times)]
    cases = [part.assign(image_id=part["image_id"] + f"_{n}") for n, part in enumerate(cases)]
    lesions = [LESIONS.assign(image_id=LESIONS["image_id"] + f"_{n}") for n in range(times)]
    return {"cases": pd.concat(cases), "lesions": pd.concat(lesions)}


def test_enough_patients_for_the_effect_give_no_warning(power_of):
    power = power_of(**many(1500))
    assert power["warning"] is None
    assert not any("cannot answer" in line for line in describe(power))
    strict = power_of(
        ("[base.model]", "[compare.effect]\ndice = 0.0001\n[base.model]"), **many(1500)
    )
    assert "mean Dice from" in strict["warning"]
    assert "AUC" not in strict["warning"]


def test_the_warning_names_the_correlation_that_it_takes(power_of):
    power = power_of(**many(20))
    needed = power["metrics"]["auc"]["needed_correlation"]
    said = f"2.65 matter, found only if the arms correlate by at least {needed:.2f}"
    assert said in power["warning"]
    again = power_of(
        ("[base.model]", f"[compare.assume]\nauc_correlation = {needed}\n[base.model]"), **many(20)
    )
    assert again["metrics"]["auc"]["smallest_difference"] <= 0.0265
    assert "AUC" not in (again["warning"] or "")
    tiny = power_of(("[base.model]", "[compare.effect]\nauc = 1e-4\n[base.model]"), **many(20))
    assert "not found even where the arms correlate by 0.99" in tiny["warning"]


def test_the_plan_fits_80_columns_and_tells_the_range(power_of):
    lines = describe(power_of(**many(20)))
    told = [line for line in lines if not line.startswith("warning")]
    assert max(map(len, told)) <= 80
    (row,) = [line for line in told if line.startswith("  AUC")]
    found = power_of(**many(20))["metrics"]["auc"]
    ends = [f"{100 * found[key]:.3g}" for key in ("smallest_difference", "at_low", "at_high")]
    assert [part for part in row.split() if part in ends] == ends
    assert "(at 0.85)" in row


def test_too_few_patients_find_nothing(power_of):
    power = power_of(cases=CASES[CASES["patient_id"].isin(["p1", "p4"])])
    assert "in AUC none" in power["warning"]
    assert any("fewer than two patients" in line for line in describe(power))
