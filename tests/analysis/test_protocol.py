import pytest

from mtlbench.analysis import load_published, mismatches, own_protocol, verdict
from mtlbench.analysis.protocol import PROTOCOL, Mismatch, fields_of
from mtlbench.analysis.published import PublishedEntry, PublishedRow
from mtlbench.config import CLASSES

FIELDS = {
    "dataset": "ddsm",
    "label_rule": "malignant against the rest",
    "level": "image",
    "input": "whole image",
    "size": "1152x832",
    "split": "patient",
    "views": "one",
    "ensemble": "none",
}
"""A study by the protocol of Le et al. 2019."""


def row_of(name, metric):
    entry = load_published()[name]
    return entry, next(row for row in entry.rows if row.metric == metric)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("auc", "not comparable: split, ensemble (not stated)"),
        ("dice", "not comparable: Dice pooling, split, ensemble (not stated)"),
    ],
)
def test_a_study_by_the_papers_protocol_differs_in_nothing_that_the_paper_states(metric, said):
    found = mismatches(*row_of("le2019-table1", metric), own_protocol(metric, CLASSES, FIELDS))
    assert verdict(found) == said
    assert not any(one.stated for one in found.values())


def test_what_differs_is_told_apart_from_what_is_not_stated():
    ours = FIELDS | {"dataset": "phantom", "size": "64x48"}
    found = mismatches(*row_of("le2019-table1", "auc"), ours)
    assert verdict(found) == "not comparable: dataset, size; split, ensemble (not stated)"
    assert str(found["size"]) == "in the paper 1152x832, here 64x48"
    assert str(found["split"]) == "in the paper not stated, here patient"


def test_what_neither_side_states_is_not_comparable():
    found = mismatches(*row_of("le2019-table1", "auc"), {})
    assert list(found) == [field for field in fields_of("auc") if field != "stage"]
    assert found["split"] == Mismatch("", "")
    assert not found["dataset"].stated


@pytest.mark.parametrize("metric", ["dice", "dice_image", "dice_lesions", "dice_any"])
def test_a_mass_dice_is_not_our_mean_dice(metric):
    """AUNet's, with all the rest as ours."""
    entry, row = row_of("aunet-inbreast", "dice")
    ours = own_protocol(metric, CLASSES, FIELDS)
    assert str(mismatches(entry, row, ours)["classes"]) == "in the paper mass, here all five"


def test_the_metric_states_its_classes_and_how_it_pools():
    some = ("healthy", "benign mass")
    assert own_protocol("dice", some, {})["classes"] == "healthy, benign mass"
    assert own_protocol("dice", CLASSES[::-1], {})["classes"] == "all five"
    assert own_protocol("dice", CLASSES, {})["pooling"] == "test set"
    assert own_protocol("dice_image", CLASSES, {})["pooling"] == "image"
    assert own_protocol("auc", (), FIELDS) == FIELDS


def test_the_level_is_an_aucs_and_classes_are_a_dices():
    assert {*PROTOCOL} - {*fields_of("auc")} == {"classes", "pooling"}
    assert {*PROTOCOL} - {*fields_of("dice_any")} == {"level"}


def test_a_number_before_the_last_stage_is_not_comparable_with_one_after_it():
    entry = load_published()["le2019-table1"]
    (sequential,) = (row for row in entry.rows if (row.name, row.metric) == ("sequential", "dice"))
    ours = own_protocol("dice", CLASSES, FIELDS)
    found = mismatches(entry, sequential, ours)
    assert str(found["stage"]) == "in the paper before the last, here last"
    assert "stage" not in mismatches(entry, sequential, {**ours, "stage": "before the last"})


def test_a_number_by_our_protocol_is_comparable():
    common = {"paper": "P", "status": "verified", "source": "s"} | FIELDS
    del common["ensemble"]
    entry = PublishedEntry(id="x", **common | {"dataset": "DDSM", "size": (1152, 832)})
    auc = PublishedRow(name="m", metric="auc", value=0.8, ensemble="none")
    dice = PublishedRow(
        name="m", metric="dice", value=0.4, ensemble="none", pooling="test set", classes=CLASSES
    )
    assert mismatches(entry, auc, FIELDS) == {}
    assert mismatches(entry, dice, own_protocol("dice", CLASSES, FIELDS)) == {}
    assert verdict({}) == ""
    per_image = own_protocol("dice_image", CLASSES, FIELDS)
    assert verdict(mismatches(entry, dice, per_image)) == "not comparable: Dice pooling"
