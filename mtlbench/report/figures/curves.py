"""Training curves: each task's loss and validation metric along the optimisation steps."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtlbench.report.collect import Study
from mtlbench.report.figures.style import (
    TWO_COLUMNS,
    Drawn,
    letters,
    line_styles,
    place_legend,
    widen,
)
from mtlbench.report.numbers import Numbers

PERCENT = 100
PANELS = (
    ("loss_cls", "Classification loss, training", 1),
    ("val_loss_cls", "Classification loss, validation", 1),
    ("val_auc", "Validation AUC (%)", PERCENT),
    ("loss_seg", "Segmentation loss, training", 1),
    ("val_loss_seg", "Segmentation loss, validation", 1),
    ("val_dice_lesions", "Validation lesion Dice (%)", PERCENT),
)


USUAL = 0.99
"""The quantile of a loss after the first epoch at which its axis may end."""


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """One line per arm (or cell where no cell stands for its arm): the mean over seeds."""
    del numbers  # every figure is drawn from the same two values
    histories = {
        cell.name: pd.concat(
            [run.history().assign(run=run.folder.name) for run in cell.runs], ignore_index=True
        )
        for cell in study.shown
    }
    figure = Figure(figsize=(TWO_COLUMNS, 4.2))
    axes = list(figure.subplots(2, 3, sharex=True).flat)
    axes[1].sharey(axes[0])
    axes[4].sharey(axes[3])
    for cell in study.shown:  # the legend has every line, in the study's order
        axes[0].plot([], [], **line_styles(study, study.shown)[cell.name], label=cell.label)
    for axis, (column, title, factor) in zip(axes, PANELS, strict=True):
        _panel(axis, study, histories, column, factor)
        axis.set_ylabel(title)
    pairs = {"a, b": (axes[0], PANELS[:2]), "d, e": (axes[3], PANELS[3:5])}
    cut = [name for name, (axis, pair) in pairs.items() if _cut(axis, histories, pair)]
    for axis in axes[3:]:
        axis.set_xlabel("Optimisation steps")
    letters(axes)
    place_legend(figure, axes)
    yield Drawn(
        "curves",
        figure,
        _data(histories),
        "Losses before weighting and validation metrics along the optimisation steps: the mean "
        "over seeds, single runs faint. A strategy that starts from another run begins where "
        f"that run ends.{_beyond(cut)}",
        "Loss and validation curves of each arm",
    )


def _data(histories: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """A row per epoch of each run, then of the mean over a cell's runs, whose `run` is empty."""
    columns = [column for column, _, _ in PANELS]
    parts = []
    for name, history in histories.items():
        mean = _mean(history, columns)
        parts += [history.assign(cell=name), mean.assign(cell=name)]
    return pd.concat(parts)[["cell", "run", "step", *columns]]


def _beyond(cut: list[str]) -> str:
    panels = " and of ".join(f"({name})" for name in cut)
    beyond = "The first epoch and spikes, the highest 1 % of the later losses, leave the axes of"
    return f" {beyond} {panels}." if cut else ""


def _cut(
    axis: Axes, histories: dict[str, pd.DataFrame], pair: Sequence[tuple[str, str, float]]
) -> bool:
    """End a pair's axis below what would press its curves flat; whether there is anything."""
    columns = [column for column, _, _ in pair]
    history = pd.concat(histories.values())
    losses = history[columns].to_numpy(float)
    later = losses[history["epoch"] > history["epoch"].min()]  # of weights that have learnt
    if np.isnan(later).all():
        return False
    low, usual, high = np.nanmin(losses), np.nanquantile(later, USUAL), np.nanmax(losses)
    if high - low <= 2 * (usual - low):
        return False
    margin = 0.05 * (usual - low)
    axis.set_ylim(low - margin, usual + margin)
    return True


def _mean(history: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Over runs, by epoch: an epoch of another fold may have a step more."""
    return history.groupby("epoch")[["step", *columns]].mean()


def _panel(
    axis: Axes, study: Study, histories: dict[str, pd.DataFrame], column: str, factor: float
) -> None:
    styles = line_styles(study, study.shown)
    for cell in study.shown:
        history = histories[cell.name].dropna(subset=[column])
        if history.empty:
            continue
        style = styles[cell.name]
        for _, one in history.groupby("run"):
            faint = {"alpha": 0.3, "linewidth": 0.6, "linestyle": "-"}
            axis.plot(one["step"], factor * one[column], **style | faint)
        mean = _mean(history, [column])
        alone = {"marker": "o", "markersize": 2.5} if len(mean) == 1 else {}  # no line to see
        axis.plot(mean["step"], factor * mean[column], **style | alone)
    axis.grid(axis="y")
    if factor == PERCENT:
        widen(axis, "y", least=0)
