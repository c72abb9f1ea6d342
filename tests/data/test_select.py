import numpy as np
import pytest

from mtlbench.config import DataConfig, LabelRule
from mtlbench.data.mammogram import Finding, Index, Lesion, Mammogram
from mtlbench.data.outlines import Circle
from mtlbench.data.select import Excluded, exclude_faulty, select


def image(name: str, *pathologies: str, **fields: object) -> Mammogram:
    lesions = tuple(Lesion("mass", p, Circle(3, 3, 1)) for p in pathologies)
    base = {"height": 8, "width": 8, "label": 0, "lesions": lesions, "path": "a.png"}
    return Mammogram(name, "p", lambda: np.zeros((8, 8), np.uint8), **(base | fields))


def names(selection) -> list[str]:
    return [mammogram.image_id for mammogram in selection.mammograms]


def by_rule(**rule: str) -> DataConfig:
    return DataConfig(label_rule=LabelRule(**rule))


SET = [
    image("normal"),
    image("sight", "benign_without_callback"),
    image("both", "benign_without_callback", "benign"),
    image("cancer", "malignant", label=1),
    image("bare", label=None, has_mask=False),
]


@pytest.mark.parametrize(
    ("rule", "left_out"),
    [
        ({}, ["bare"]),
        ({"normals": "exclude"}, ["normal", "bare"]),
        ({"benign_without_callback": "exclude"}, ["sight", "bare"]),
    ],
)
def test_the_label_rule_says_who_is_a_case_and_why_not(rule, left_out):
    selection = select(Index(SET, []), by_rule(**rule))
    assert names(selection) == [m.image_id for m in SET if m.image_id not in left_out]
    assert [entry.image_id for entry in selection.excluded] == left_out
    assert all(entry.reason for entry in selection.excluded)


def test_copies_of_a_film_become_one_case_with_the_lesions_of_all():
    copies = [
        image("Mass", "benign", film="f"),
        image("other", "benign"),
        image("Calc", "malignant", label=1, film="f"),
    ]
    selection = select(Index(copies, []), DataConfig())
    mass, other = selection.mammograms
    assert (mass.image_id, other.image_id) == ("Mass", "other")
    assert [lesion.pathology for lesion in mass.lesions] == ["benign", "malignant"]
    assert mass.label == 1  # the film shows a cancer, whatever its own rows say
    assert selection.excluded == [Excluded("Calc", "the film of Mass")]
    [finding] = selection.findings
    assert (finding.level, finding.image_id) == ("note", "Calc")
    assert finding.consequence == "left out; its lesions are drawn in Mass"


def test_a_copy_that_is_absent_gives_way_to_one_that_is_there():
    copies = [image("Mass", "benign", film="f", path=""), image("Calc", "benign", film="f")]
    assert names(select(Index(copies, []), DataConfig())) == ["Calc"]


def test_a_lesion_that_one_copy_cannot_locate_takes_the_mask_of_all():
    copies = [image("a", "benign", film="f"), image("b", "benign", film="f", has_mask=False)]
    assert not select(Index(copies, []), DataConfig()).mammograms[0].has_mask


def test_faulty_images_are_left_out_with_the_first_fault_as_reason():
    selection = select(Index([image("a"), image("b")], []), DataConfig())
    findings = [
        Finding("note", "list.csv", 2, "odd", "a"),
        Finding("error", "list.csv", 3, "cut off", "b"),
        Finding("error", "list.csv", 3, "and more", "b"),
        Finding("error", "list.csv", 4, "no image of ours", "c"),
    ]
    left = exclude_faulty(selection, findings)
    assert names(left) == ["a"]
    assert left.excluded == [Excluded("b", "cut off"), Excluded("c", "no image of ours")]


def test_both_images_of_one_name_are_left_out_and_listed():
    selection = select(Index([image("a"), image("a"), image("b")], []), DataConfig())
    left = exclude_faulty(selection, [Finding("error", "list.csv", 3, "twice", "a")])
    assert names(left) == ["b"]
    assert left.excluded == [Excluded("a", "twice")] * 2
