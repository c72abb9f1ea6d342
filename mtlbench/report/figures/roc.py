"""ROC curve per arm: the mean over seeds with its band of resampled patients."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from mtlbench.analysis import roc_band
from mtlbench.report.collect import Study
from mtlbench.report.figures.style import GREY, ONE_COLUMN, Drawn, line_styles
from mtlbench.report.notes import basis
from mtlbench.report.numbers import Numbers
from mtlbench.report.text import level_text, percent

RESAMPLES = 1000
"""Of the band; the intervals of AUC have their own."""
BANDED = 4
"""With more curves than this their bands would hide each other, and are left out."""


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """One curve for each arm (or cell where no cell stands for its arm) that classifies."""
    cells = tuple(cell for cell in study.shown if numbers.value(cell, "auc") is not None)
    if not cells:
        return
    level = study.config.compare.level
    figure = Figure(figsize=(ONE_COLUMN, ONE_COLUMN + 0.17 * len(cells)))
    axis = figure.subplots()
    styles = line_styles(study, study.shown)
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.6, linestyle=":")
    for cell in cells:
        curve = roc_band(cell.frame, level=level, resamples=RESAMPLES)
        style = styles[cell.name]
        if len(cells) <= BANDED:
            low, high = curve["low"], curve["high"]
            axis.fill_between(
                curve["fpr"], low, high, color=style["color"], alpha=0.13, linewidth=0
            )
        auc = percent(numbers.value(cell, "auc"))
        axis.plot(curve["fpr"], curve["tpr"], **style, label=f"{cell.label} (AUC {auc} %)")
    axis.set(xlabel="False-positive rate", ylabel="Sensitivity", aspect="equal")
    axis.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    figure.legend(loc="outside lower center", ncols=1)
    bands = (
        f"bands: pointwise {level_text(level)} of {RESAMPLES} resamples of patients"
        if len(cells) <= BANDED
        else f"no bands, since {len(cells)} of them would hide each other"
    )
    yield Drawn(
        "roc",
        figure,
        f"ROC curves, the mean sensitivity over seeds; {bands} ({basis(study, numbers)}).",
        f"ROC curves of {', '.join(cell.label for cell in cells)}",
    )
