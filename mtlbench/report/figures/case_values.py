"""What `predictions.csv` says of single test cases, for the figure of cases.

N = cases.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mtlbench.analysis.frame import BOTH, PRED, TRUE
from mtlbench.analysis.profile import dice_of_images
from mtlbench.metrics import LESIONS, any_lesion
from mtlbench.report.collect import Cell
from mtlbench.report.text import absent

COLUMNS = ("dice", "right_class", "false_area", "score")
WRONG_CLASS = "wrong class"


def case_values(cell: Cell) -> pd.DataFrame:
    """Columns COLUMNS of the test cases of the cell's first run, by image id.

    `dice` of any lesion against healthy; `right_class`, of the pixels that are a lesion in truth
    and prediction the share with the true class; `false_area`, of the pixels of an image without a
    lesion the share that is predicted one. NaN where there is none.
    """
    frame = cell.frame[cell.frame["seed"] == cell.runs[0].seed]
    true_NK, pred_NK, both_NK = (frame[columns].to_numpy(float) for columns in (TRUE, PRED, BOTH))
    true_N, pred_N, both_N = any_lesion(true_NK, pred_NK, both_NK)
    with np.errstate(invalid="ignore", divide="ignore"):
        right_N = both_NK[:, LESIONS].sum(axis=1) / both_N
        false_N = np.where(true_N == 0, pred_N / true_NK.sum(axis=1), np.nan)
    columns = (dice_of_images(frame), right_N, false_N, frame["score"].to_numpy(float))
    index = pd.Index(frame["image_id"].astype(str), name="image_id")
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)), index=index)


def value_lines(values: Mapping[str, float]) -> list[str]:
    """A case's row of `case_values` as the lines below its panel."""
    lines = []
    if not absent(values["dice"]):
        lines.append(f"any-lesion Dice {100 * values['dice']:.0f}\N{NO-BREAK SPACE}%")
        lines += [WRONG_CLASS] * (values["right_class"] < 0.5)
    elif not absent(values["false_area"]):
        lines.append(f"FP area {100 * values['false_area']:.1f} %")
    return [*lines, *score_lines(values)]


def score_lines(values: Mapping[str, float]) -> list[str]:
    """`score 0.24`; none of an arm that does not classify."""
    return [] if absent(values["score"]) else [f"score {values['score']:.2f}"]
