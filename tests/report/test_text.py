import pytest

from mtlbench.report import text


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (1.0, "1.000"),
        (0.012, "0.012"),
        (0.001, "0.001"),
        (0.00099, "<0.001"),
        (1e-9, "<0.001"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_p_is_never_zero(p, shown):
    assert text.p_value(p) == shown


def test_p_is_told_as_an_equation():
    assert text.p_equation(0.0123) == "p = 0.012"
    assert text.p_equation(0.0009) == "p < 0.001"


def test_numbers_read_in_percent():
    assert text.estimate(0.8402, 0.801, 0.8733) == "84.0 [80.1, 87.3]"
    assert text.estimate(1.0, None, None) == "100.0 [–]"
    assert text.estimate(None, None, None) == "–"
    assert text.difference(0.0265, -0.0101, 0.06) == "+2.6 [−1.0, +6.0]"
    assert text.difference(0.0, float("nan"), float("nan")) == "0.0 [–]"


def test_a_small_difference_does_not_read_as_none():
    """One decimal everywhere; the sign of a limit that rounds to 0 says whether 0 is inside."""
    assert text.difference(-0.11409, -0.18976, -0.00003) == "−11.4 [−19.0, −0.0]"
    assert text.difference(0.02, 0.0004, 0.05) == "+2.0 [+0.0, +5.0]"
    assert text.difference(0.02, -0.0004, 0.05) == "+2.0 [−0.0, +5.0]"


def test_words_are_listed_as_in_a_sentence():
    assert text.listed(["a"]) == "a"
    assert text.listed(["a", "b"]) == "a and b"
    assert text.listed(iter(["a", "b", "c"]), "or") == "a, b or c"


def test_markdown_loses_its_meaning():
    assert text.markdown("a|b_c*d`e") == r"a\|b\_c\*d\`e"
    assert text.markdown("<script>") == r"\<script\>"
    assert text.markdown("[x](http://y)") == r"[x]\(http://y)"
    assert text.markdown("84.0 [80.1, 87.3]") == "84.0 [80.1, 87.3]"
    assert text.markdown("a\nb") == "a b"


@pytest.mark.parametrize("value", ["=1+1", "+a", "-a", "@a", "\ta", "\ra"])
def test_spreadsheets_get_no_formula(value):
    assert text.csv_text(value) == f"'{value}"


@pytest.mark.parametrize("value", ["-1", "+0.5", "-1e-4", "1"])
def test_numbers_stay_numbers(value):
    assert text.csv_text(value) == value


def test_plain_text_stays():
    assert text.csv_text("joint [loss.lambda=0.3]") == "joint [loss.lambda=0.3]"
