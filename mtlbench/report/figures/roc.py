"""ROC curve per arm: the mean over seeds with its band of resampled patients."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mtlbench.report.collect import Study
from mtlbench.report.figures.style import GREY, ONE_COLUMN, Drawn, line_styles
from mtlbench.report.numbers import Numbers
from mtlbench.report.text import percent

GRID = np.linspace(0, 1, 201)


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    cells = tuple(cell for cell in study.shown if numbers.value(cell, "auc") is not None)
    if not cells:
        return
    figure = Figure(figsize=(ONE_COLUMN, ONE_COLUMN))
    axis = figure.subplots()
    styles = line_styles(study, study.shown)
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.6, linestyle=":")
    for cell in cells:
        curve = np.mean([_roc(frame) for _, frame in cell.frame.groupby("seed")], axis=0)
        auc = percent(numbers.value(cell, "auc"))
        axis.plot(GRID, curve, **styles[cell.name], label=f"{cell.label} (AUC {auc})")
    axis.set(xlabel="False positive rate", ylabel="True positive rate", aspect="equal")
    axis.legend(loc="lower right")
    yield Drawn("roc", figure, "ROC", "ROC curves")


def _roc(frame: pd.DataFrame) -> NDArray[np.float64]:
    score, label = frame["score"].to_numpy(), frame["label"].to_numpy()
    thresholds = np.unique(score)[::-1]
    tpr = [0.0, *((score[label == 1] >= t).mean() for t in thresholds)]
    fpr = [0.0, *((score[label == 0] >= t).mean() for t in thresholds)]
    return np.interp(GRID, fpr, tpr)
