"""Test sets counted by hand, and what a study says of them."""

from dataclasses import replace

import pandas as pd
import pytest

from mtlbench.analysis.power import auc_outlook, dice_outlook
from mtlbench.config import AssumeConfig, load_study
from mtlbench.study.cells import expand
from mtlbench.study.data import load_data
from mtlbench.study.design import build_design
from mtlbench.study.outlook import describe, outlook

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


@pytest.fixture
def power_of(study_file):
    """Give the outlook of the tiny study, with replacements, on other cases."""

    def make(*replacements, cases=CASES):
        study = load_study(study_file(*replacements))
        data = load_data(study, {})
        return outlook(study, build_design(study, expand(study), data), replace(data, cases=cases))

    return make


def test_the_test_set_is_counted_by_patient(power_of):
    power = power_of()
    assert power["test"] == {
        "patients": 7, "cases": 11,
        "positive_patients": 3, "positive_cases": 4,
        "negative_patients": 4, "negative_cases": 6,
        "lesion_patients": 4,
    }  # fmt: skip


def test_numbers_are_of_these_counts_and_of_the_tables_comparisons(power_of):
    """AUC: cls, sequential and joint; Dice: seg, sequential and joint, so two comparisons each."""
    power = power_of(("[base.model]", "[compare.assume]\nauc = 0.7\n[base.model]"))
    study_wide = {"level": 0.95, "comparisons": 2, "seeds": 2}
    assume = AssumeConfig(auc=0.7)
    auc = auc_outlook([2, 1, 1], [1, 1, 3, 1], assume, **study_wide)
    dice = dice_outlook(4, assume, **study_wide)
    found = power["metrics"]
    assert found["auc"]["smallest_difference"] == pytest.approx(auc.smallest_difference)
    assert found["dice"]["half_width"] == pytest.approx(dice.half_width)
    assert found["auc"]["level"] == pytest.approx(0.975)


def test_a_metric_that_nobody_trains_is_left_out_and_a_lone_one_is_not_compared(power_of):
    segmenting = [(f'strategy = "{name}" }}', 'strategy = "cls" }') for name in ("joint", "seg")]
    power = power_of(*segmenting, ('dice = "seg"', 'dice = "sequential"'))
    assert power["metrics"]["dice"]["comparisons"] == 0
    assert "mean Dice" not in power["warning"]
    power = power_of(*segmenting, ('strategy = "sequential" }', 'strategy = "cls" }'))
    assert set(power["metrics"]) == {"auc"}


def test_enough_patients_for_the_effect_give_no_warning(power_of):
    many = pd.concat([CASES.assign(patient_id=CASES["patient_id"] + f"_{n}") for n in range(3000)])
    power = power_of(cases=many)
    assert power["warning"] is None
    assert not any("cannot answer" in line for line in describe(power))
    strict = power_of(("[base.model]", "[compare.effect]\ndice = 0.001\n[base.model]"), cases=many)
    assert "mean Dice from" in strict["warning"]
    assert "AUC" not in strict["warning"]


def test_too_few_patients_find_nothing(power_of):
    power = power_of(cases=CASES[CASES["patient_id"].isin(["p1", "p4"])])
    assert "in AUC none" in power["warning"]
    assert any("fewer than two patients" in line for line in describe(power))
