import re

import numpy as np
import pandas as pd
import pytest

from mtlbench.errors import DataError
from mtlbench.report import build
from mtlbench.report.files import write_csv


def test_text_is_no_formula_and_numbers_keep_every_digit(tmp_path):
    path = tmp_path / "table.csv"
    write_csv(path, pd.DataFrame({"name": ["=1+1", "-0.5", "α"], "value": [1 / 3, np.nan, -2.0]}))
    assert path.read_bytes().decode() == f"name,value\n'=1+1,{1 / 3!r}\n-0.5,\nα,-2.0\n"


@pytest.mark.parametrize(
    "name", ["predictions.csv", "history.csv", "record.json", "config.json", "panels.npz"]
)
def test_garbage_in_a_run_is_one_line_with_its_path(arms_study, believe, name):
    for garbage in (b"\xff\x00", b"x,y\n"):
        for path in arms_study.glob(f"runs/*/{name}"):
            path.write_bytes(garbage)
            believe(path)
        with pytest.raises(DataError, match=rf"/arms/runs/\w+/{re.escape(name)}: "):
            build(arms_study)
    assert not (arms_study / "report").exists()


@pytest.mark.parametrize("name", ["cells.csv", "cases.csv", "recipe.json"])
def test_garbage_in_a_study_is_one_line_with_its_path(arms_study, name):
    for garbage in (b"\xff\x00\xfe", b"", b"{}\n"):
        (arms_study / name).write_bytes(garbage)
        with pytest.raises(DataError, match=re.escape(str(arms_study / name))):
            build(arms_study)


def test_cells_with_words_for_numbers_are_refused(arms_study):
    path = arms_study / "cells.csv"
    path.write_text(path.read_text().replace(",60\n", ",many\n"))
    with pytest.raises(
        DataError, match=r"cells\.csv: steps must be a whole number, but got 'many'"
    ):
        build(arms_study)
