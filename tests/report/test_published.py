"""A study's own registry: comparable entries with their test, the others with what differs."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import logit

from mtlbench.analysis import verdict
from mtlbench.errors import StudyError
from mtlbench.report import build
from mtlbench.report.collect import read_study
from mtlbench.report.figures import forest
from mtlbench.report.numbers import measure
from mtlbench.report.published import published, published_tables

OWN = """[same]
paper = "Rival, by our protocol"
year = 2024
status = "verified"
source = "its paper"
dataset = "phantom"
label_rule = "malignant against the rest"
level = "image"
input = "whole image"
size = [64, 48]
split = "patient"
views = "one"
rows = [
    { name = "net", metric = "auc", value = 0.7, low = 0.6, high = 0.8, ensemble = "none" },
    { name = "two nets", metric = "auc", value = 0.75, ensemble = "several models" },
]
"""


@pytest.fixture
def own_study(arms_study):
    path = arms_study / "study.toml"
    named = 'registry = "mine.toml"\npublished = ["same", "le2019-table1"]'
    path.write_text(path.read_text().replace('published = ["le2019-table1"]', named))
    (arms_study / "published.toml").write_text(OWN)
    return arms_study


def test_a_comparable_entry_is_tested_and_an_arm_meets_its_namesake_alone(own_study):
    study = read_study(own_study)
    numbers = measure(study)
    (same, le), warnings = published(study, numbers)
    assert warnings == ()
    assert same.reasons["net"] == {}
    assert list(same.why_not) == list(same.reasons["two nets"]) == ["ensemble"]
    assert verdict(le.reasons["cls"]) == (
        "not comparable: dataset, size; split, ensemble (not stated)"
    )
    assert (
        verdict(le.reasons["joint"])
        == verdict(le.why_not)
        == ("not comparable: dataset, size; Dice pooling, split, ensemble (not stated)")
    )
    ours = numbers.estimate["cls", "auc"]
    error = np.hypot(*(
        (logit(high) - logit(low)) / 2 / 1.959964 * value * (1 - value)
        for value, low, high in ((ours["value"], ours["low"], ours["high"]), (0.7, 0.6, 0.8))
    ))  # fmt: skip
    row, other = (row for row in same.differences if row["arm"] == "cls")
    assert (row["not_comparable"], other["not_comparable"]) == ([], ["ensemble"])
    assert row["p"] == pytest.approx(2 * stats.norm.sf(abs(ours["value"] - 0.7) / error), rel=1e-5)
    assert {(row["arm"], row["name"]) for row in le.differences} == {
        (name, name) for name in ("cls", "seg", "sequential", "joint")
    }
    assert all(row["p"] is None for row in le.differences)
    captions = [table.caption for table in published_tables((same, le))]
    assert captions[0] == (
        "As published by Rival, by our protocol (2024); not comparable: ensemble"
    )
    assert "; not comparable: dataset" in captions[2]


def test_a_published_number_before_the_last_stage_is_set_against_ours_before_it(arms_study):
    study = read_study(arms_study)
    numbers = measure(study)
    values, differences = published_tables(published(study, numbers)[0])
    assert "sequential, Mean Dice: measured before the last training stage." in values.notes
    assert "stage" not in values.notes[0]
    (row,) = (r for r in differences.blocks[0].rows if r[1].text == "sequential")
    assert row[0].text == "sequential (before the last stage)"
    ours = numbers.before["sequential", "dice"]["value"]
    assert ours != numbers.estimate["sequential", "dice"]["value"]
    assert float(row[2].text.replace("−", "-")) == pytest.approx(100 * (ours - 0.3498), abs=0.06)


def test_a_stage_that_we_do_not_have_is_a_mismatch(arms_study):
    """Without the runs that `sequential` starts from, all that is left is its last stage."""
    study = read_study(arms_study)
    numbers = replace(measure(study), before={})
    ((le,), _) = published(study, numbers)
    assert [name for name, why in le.reasons.items() if "stage" in why] == ["sequential"]
    values, differences = published_tables((le,))
    assert "stage: in the paper before the last, here last" in values.notes[0]
    (row,) = (r for r in differences.blocks[0].rows if r[1].text == "sequential")
    assert row[0].text == "sequential"


def test_comparable_values_stand_among_the_arms_with_their_interval(own_study):
    study = read_study(own_study)
    (drawn,) = forest.draw(study, measure(study))
    labels = [label.get_text() for label in drawn.figure.axes[0].get_yticklabels()]
    assert labels[5:] == ["Rival 2024: net", "Rival 2024: two nets"]
    assert "grey, filled: published values (Rival 2024)" in drawn.caption
    for reason in (
        "Rival 2024 two nets, not comparable: ensemble",
        "Le 2019 cls, not comparable: dataset, size; split, ensemble (not stated)",
        "Le 2019 seg, sequential, joint, not comparable: dataset, size; Dice pooling, split",
    ):
        assert reason in drawn.caption
    data = drawn.data.set_index("cell").loc["net"]
    assert (data["value"], data["low"], data["high"]) == (0.7, 0.6, 0.8)


def test_a_registry_that_is_gone_is_refused(own_study):
    (own_study / "published.toml").unlink()
    study = read_study(own_study)
    with pytest.raises(StudyError, match=r"published\.toml: cannot be read"):
        published(study, measure(study))


def test_published_numbers_stand_apart_with_why(arms_report):
    text = (arms_report / "table.md").read_text()
    ours, theirs = text.index("Training strategy"), text.index("As published")
    assert ours < theirs
    assert "| Mean Dice, % | – | 34.98 | 34.98 | 38.28 |" in text
    assert "| AUC, % | 80.54 | – | 81.37 | 84.02 |" in text
    assert "Not comparable: dataset: in the paper DDSM, here phantom" in text


def test_an_unknown_published_entry_is_a_warning(arms_study, no_figures):
    path = arms_study / "study.toml"
    path.write_text(path.read_text().replace("le2019-table1", "nobody2020"))
    page = (build(arms_study) / "index.html").read_text()
    assert "&#39;nobody2020&#39; is not in the registry" in page


def test_a_number_read_in_a_mirror_says_so(arms_study):
    path = arms_study / "study.toml"
    path.write_text(path.read_text().replace("le2019-table1", "aunet-inbreast"))
    study = read_study(arms_study)
    values, _ = published_tables(published(study, measure(study))[0])
    assert "Dice classes: in the paper mass, here all five" in values.notes[0]
    assert values.notes[1].startswith("Source (secondary: the paper itself was not read): https://")


def test_an_entry_that_nobody_has_read_is_a_warning_that_says_so(arms_study):
    path = arms_study / "study.toml"
    path.write_text(path.read_text().replace("le2019-table1", "zhu2017"))
    study = read_study(arms_study)
    found, (warning,) = published(study, measure(study))
    assert found == ()
    assert warning.startswith("compare.published: 'zhu2017' is disabled, because unverified")


def test_a_study_by_the_papers_protocol_differs_in_nothing_that_it_states(arms_study):
    path = arms_study / "study.toml"
    text = path.read_text().replace('dataset = "phantom"', 'dataset = "ddsm"')
    path.write_text(text.replace("size = [64, 48]", "size = [1152, 832]"))
    study = read_study(arms_study)
    ((le,), _) = published(study, measure(study))
    said = "not comparable: split, ensemble (not stated)"
    assert verdict(le.reasons["cls"]) == said
    assert verdict(le.reasons["seg"]) == said.replace("split", "Dice pooling, split")


def test_a_folder_is_compared_under_the_name_of_its_data(arms_study):
    path = arms_study / "study.toml"
    text = path.read_text().replace('dataset = "phantom"', 'dataset = "folder"')
    path.write_text(text)
    study = read_study(arms_study)
    numbers = measure(study)
    ((le,), _) = published(study, numbers)
    assert str(le.why_not["dataset"]) == "in the paper DDSM, here folder"
    path.write_text(text.replace("[compare]", '[compare]\ndataset = "DDSM"'))
    ((le,), _) = published(read_study(arms_study), numbers)
    assert "dataset" not in le.why_not
    assert "size" in le.why_not


def test_the_label_rule_is_part_of_our_protocol(arms_study, no_figures):
    path = arms_study / "study.toml"
    path.write_text(
        path.read_text()
        .replace('dataset = "phantom"', 'dataset = "inbreast"')
        .replace(
            "size = [64, 48]",
            'size = [64, 48]\ncrop = "breast"\n[data.label_rule]\nbirads_cut = "5"',
        )
    )
    page = (build(arms_study) / "table.md").read_text()
    assert (
        "in the paper malignant against the rest, here BI-RADS 5 and above against the rest" in page
    )
    assert "in the paper whole image, here breast" in page
    assert "in the paper 1152x832, here 64x48" in page
