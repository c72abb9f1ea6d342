import pytest

from mtlbench.data.adapters.birads import birads_category, birads_label
from mtlbench.errors import DataError

ORDER = ["1", "2", "3", "4", "4a", "4b", "4c", "5", "6"]


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("1", "1"), ("4.0", "4"), ("4.", "4"), (" 4A ", "4a"), ("BI-RADS 4", "4"),
        ("BIRADS 4c", "4c"), ("Bi-Rads5", "5"), ("0", "0"), ("", ""), ("  ", ""),
    ],
)  # fmt: skip
def test_spellings(text: str, category: str) -> None:
    assert birads_category(text) == category


@pytest.mark.parametrize(
    "text", ["7", "4d", "4a.0", "-1", "44", "1.5", "nan", "BI-RADS", "4 a", "٤"]
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="must be 0 to 6, 4a, 4b or 4c, but got"):
        birads_label(text, "4")


@pytest.mark.parametrize(
    ("cut", "first"), [("3", "3"), ("4", "4"), ("4b", "4b"), ("4c", "4c"), ("5", "5"), ("6", "6")]
)
def test_cancer_from_the_cut_on(cut: str, first: str) -> None:
    labels = [birads_label(category, cut) for category in ORDER]
    assert labels == [0] * ORDER.index(first) + [1] * (len(ORDER) - ORDER.index(first))


@pytest.mark.parametrize("text", ["", "0", "BI-RADS 0"])
def test_no_final_assessment_gives_no_label(text: str) -> None:
    assert birads_label(text, "4") is None
