"""What `mtlbench compare` prints in 80 columns: every number whole."""

import re

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from mtlbench.cli.compared import difference_tables, estimate_table

LONG = "an arm whose name is longer than any column"
METHOD = "studentised patient bootstrap, logit scale"


def printed(*tables):
    console = Console(width=80, no_color=True)
    with console.capture() as captured:
        console.print(*tables)
    return captured.get()


@pytest.fixture
def estimates():
    rows = [("auc", "cls", 0.60034), ("auc", LONG, 0.64791), ("sens_at_spec90", "cls", np.nan)]
    return pd.DataFrame(
        {"metric": metric, "arm": arm, "value": value, "low": value - 0.1, "high": value + 0.1,
         "n_patients": 10_172, "n_cases": 20_299, "n_positive": 10_150, "method": METHOD,
         "reliable": arm != LONG}
        for metric, arm, value in rows
    )  # fmt: skip


@pytest.fixture
def differences():
    common = {"baseline": "cls", "arm": LONG, "method": METHOD, "reliable": True}
    return pd.DataFrame(
        [
            {"metric": "auc", "difference": -0.04757, "low": -0.1158, "high": -0.00004, "p": 4e-5,
             "p_adjusted": 0.01234, "margin": 0.125, "p_noninferior": 0.0456},
            {"metric": "sens_at_spec90", "difference": np.nan, "low": np.nan, "high": np.nan,
             "p": np.nan, "p_adjusted": np.nan, "margin": np.nan, "p_noninferior": np.nan},
        ]
    ).assign(**common)  # fmt: skip


def test_values_stand_with_their_intervals_and_counts(estimates):
    text = printed(estimate_table(estimates, 0.95))
    assert "…" not in text
    assert "0.600 [0.500, 0.700]  10172/20299/10150" in text
    assert "0.648 [0.548, 0.748]" in text
    assert re.search(r"sens_at_spec90 +cls +- ", text)
    assert text.count(METHOD) == 1
    assert f"auc, sens_at_spec90: {METHOD}" in text


def test_what_is_not_reliable_has_a_star_and_a_line_says_so(estimates):
    text = printed(estimate_table(estimates, 0.95))
    assert "*" in text
    assert "* an interval or p may be wrong: the notes say why" in text
    assert "*" not in printed(estimate_table(estimates.assign(reliable=True), 0.95))
    absent = estimates.assign(reliable=True, value=np.nan)
    absent.loc[0, "reliable"] = False
    assert "*" not in printed(estimate_table(absent, 0.95))


def test_differences_have_their_p_and_margins_a_table_of_their_own(differences):
    first, second = (printed(table) for table in difference_tables(differences, "bh"))
    assert "…" not in first + second
    assert "Differences from cls on the same patients" in first
    assert re.search(r"-0\.048 \[-0\.116, -0\.000\] +<0\.001 +0\.012", first)
    assert "p (bh)" in first
    assert "Not worse than cls by more than the margin" in second
    assert re.search(r"0\.125 +0\.046", second)
    assert "sens_at_spec90" not in second


def test_without_margins_there_is_one_table(differences):
    assert len(list(difference_tables(differences.assign(margin=np.nan), "holm"))) == 1
