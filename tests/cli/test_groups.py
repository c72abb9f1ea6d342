from io import StringIO

import pandas as pd
from rich.console import Console

from mtlbench.cli.groups import subgroup_tables

ROW = {
    "metric": "auc", "variable": "density", "baseline": None, "arm": "conventional_baseline",
    "group": "extremely dense tissue, category [d]", "value": 0.8124, "low": 0.71, "high": 0.9,
    "n_patients": 41, "n_cases": 82, "n_positive": 12, "difference": None,
    "difference_low": None, "difference_high": None, "interaction": None,
    "interaction_low": None, "interaction_high": None, "p": None, "p_adjusted": None,
    "reliable": True,
}  # fmt: skip
TESTED = ROW | {
    "arm": "joint", "difference": -0.1234, "difference_low": -0.2341, "difference_high": 0.0456,
    "interaction": -0.3456, "interaction_low": -0.7654, "interaction_high": -0.1111,
    "p": 0.0004, "p_adjusted": 0.0312, "reliable": False,
}  # fmt: skip


def printed(rows):
    console = Console(width=80, file=StringIO())
    for table in subgroup_tables(pd.DataFrame(rows)):
        console.print(table)
    return console.file.getvalue().splitlines()


def test_every_number_is_whole_at_80_columns():
    text = " ".join(" ".join(printed([ROW, TESTED])).split())
    heads = ["[0.710, 0.900]", "-0.123", "[-0.234, 0.046]", "-0.346", "[-0.765, -0.111]"]
    for number in ["0.812", *heads, "<0.001", "0.031", "41 patients, 82 cases, 12 positive"]:
        assert number in text
    assert "extremely dense tissue, category [d]" in text
    assert "conventional_bas" in text


def test_an_unreliable_row_has_a_mark_and_the_table_says_so():
    lines = printed([ROW, TESTED])
    assert [line.split()[1] for line in lines if line.startswith("joint")] == ["*"]
    assert not any(line.startswith("conventional") and "*" in line for line in lines)
    assert any("* an interval or p may be wrong" in line for line in lines)
    assert not any("*" in line for line in printed([ROW]))


def test_the_head_of_short_names_is_whole():
    lines = printed([ROW | {"arm": "a"}, TESTED | {"arm": "b"}])
    assert any(line.startswith("arm ") for line in lines)
    assert any(line.startswith("b *") for line in lines)
