import numpy as np
import pandas as pd

from mtlbench.report.files import write_csv


def test_text_is_no_formula_and_numbers_keep_every_digit(tmp_path):
    path = tmp_path / "table.csv"
    write_csv(path, pd.DataFrame({"name": ["=1+1", "-0.5", "α"], "value": [1 / 3, np.nan, -2.0]}))
    assert path.read_bytes().decode() == f"name,value\n'=1+1,{1 / 3!r}\n-0.5,\nα,-2.0\n"
