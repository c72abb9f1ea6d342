"""Figure 2 of Le et al. 2019: image, ground truth and each arm's prediction of a few test cases.

Which cases is a rule: of those with a lesion that the runs have kept (by the truth alone) the ones
that the arms segment best, in the middle and worst, and the kept case without one.
H, W = height and width in pixels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from mtlbench.config import CLASSES, IGNORED
from mtlbench.report import files
from mtlbench.report.collect import Cell, Study
from mtlbench.report.figures.case_values import (
    WRONG_CLASS,
    case_values,
    score_lines,
    value_lines,
)
from mtlbench.report.figures.style import TWO_COLUMNS, Drawn, wrapped
from mtlbench.report.numbers import Numbers
from mtlbench.report.text import absent

CLASS_COLOURS = ("none", "#56B4E9", "#D55E00", "#009E73", "#F0E442")
"""Healthy is transparent; the rest are Okabe and Ito's, apart on grey."""
FILL = 0.35
"""Opacity of a class over the image; its outline is solid."""
MOST_CELLS = 6
"""Columns of predictions, the first in the study's order: in more a lesion is too small to see."""
MOST_HEIGHT = 8.0
"""Of the figure in inches, so that a page has room for its caption."""
NAMES_WIDTH = 0.4
"""Of the rows' names, in inches."""
RANKS = ("Best", "Median", "Worst")
LABELS = {0.0: "no cancer", 1.0: "cancer"}

Panels = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class _Shown:
    """A cell's first run: its panels, and `case_values`."""

    cell: Cell
    panels: Panels
    values: Mapping[str, Mapping[str, float]]
    """By image id."""

    def place(self, case: str) -> int:
        """Where a case stands among the panels."""
        return int(np.flatnonzero(self.panels["image_id"] == case)[0])


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """Rows are cases, columns the image, the truth and each segmenting arm."""
    del numbers  # every figure is drawn from the same two values
    shown = [one for cell in study.shown if (one := _shown(cell)) is not None]
    segmenting = [one for one in shown if "pred" in one.panels][:MOST_CELLS]
    if not segmenting:
        return
    ranked, picked = _rank(shown, segmenting)
    if not picked:
        return
    side = (TWO_COLUMNS - NAMES_WIDTH) / (2 + len(segmenting))
    characters = int(16 * side)
    height, width = segmenting[0].panels["images"].shape[1:]
    tall = 0.7 + len(picked) * (side * height / width + 0.5)
    figure = Figure(figsize=(TWO_COLUMNS, min(tall, MOST_HEIGHT)))
    axes = figure.subplots(len(picked), 2 + len(segmenting), squeeze=False)
    for line, (case, row) in zip(axes, picked.items(), strict=True):
        line[0].set_ylabel(f"{row}\n{case}")
        _row(line, case, shown, segmenting, characters)
    titles = ["Image", "Ground truth", *(one.cell.label for one in segmenting)]
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(wrapped(title, characters))
    figure.legend(handles=_patches(), loc="outside lower center", ncols=4)
    data = _data(shown, segmenting, ranked, picked)
    yield Drawn("cases", figure, data, caption(data), alt(data))


def caption(data: pd.DataFrame) -> str:
    """From what `cases.csv` holds."""
    n_lesions = data.dropna(subset=["mean_dice"])["image_id"].nunique()
    return (
        f"{', '.join(f'{row} {case}' for case, row in _drawn(data).items())}. {_rule(n_lesions)}; "
        f"seed {data['seed'].iloc[0]}. Coloured: lesions of the truth and of the predictions "
        "by class. Below: Dice of any lesion against healthy on the full image "
        f"({WRONG_CLASS}: most pixels of the lesion that was found have another class than the "
        "truth), or, without a lesion, the share of the image that is a false positive (FP area); "
        "and the cancer score. White outlines: ignored."
    )


def alt(data: pd.DataFrame) -> str:
    """The same in short, for those not seeing."""
    rows = _drawn(data).values()
    return f"Image, ground truth and predictions of {len(rows)} test cases: {', '.join(rows)}"


def _drawn(data: pd.DataFrame) -> dict[str, str]:
    """Image id → name of its row."""
    rows = data[data["row"] != ""]
    return {str(case): str(row) for case, row in zip(rows["image_id"], rows["row"], strict=True)}


def _rule(n_lesions: int) -> str:
    """How the cases were chosen; a run of an older version has kept one with a lesion alone."""
    normal = "of the test cases without a lesion the middle one by name"
    if n_lesions < len(RANKS):
        return (
            f"These runs have kept {n_lesions} with a lesion, too few for a best, median and "
            f"worst, by the truth alone; and {normal}"
        )
    return (
        f"The best, the median and the worst of {n_lesions} test cases with a lesion (evenly "
        "spaced in the order of lesion area) by the mean any-lesion Dice of the shown "
        f"segmentations, ties by name; and {normal}"
    )


def _shown(cell: Cell) -> _Shown | None:
    run = cell.runs[0]
    path = run.folder.path / "panels.npz"
    if not path.is_file():
        return None
    rows = case_values(cell)
    values = dict(zip(rows.index, rows.to_dict("records"), strict=True))
    return _Shown(cell, files.panels(path), values)


def _rank(
    shown: Sequence[_Shown], segmenting: Sequence[_Shown]
) -> tuple[dict[str, float], dict[str, str]]:
    """Mean Dice of each kept case with a lesion, falling; and the row that each drawn case is."""
    kept = [set(map(str, one.panels["image_id"])) & set(one.values) for one in shown]
    common = sorted(set.intersection(*kept))
    mean = {
        case: float(np.mean([one.values[case]["dice"] for one in segmenting])) for case in common
    }
    lesions = sorted((case for case in common if not absent(mean[case])), key=lambda c: -mean[c])
    picked = {case: "Normal" for case in common if _is_normal(segmenting[0], case)}
    picked = dict(list(picked.items())[:1])
    if len(lesions) >= len(RANKS):
        lesions_drawn = [lesions[0], lesions[len(lesions) // 2], lesions[-1]]
        picked |= dict(zip(lesions_drawn, RANKS, strict=True))
    else:
        picked |= dict.fromkeys(lesions, "Lesion")
    return {case: mean[case] for case in lesions}, picked


def _is_normal(one: _Shown, case: str) -> bool:
    truth_HW = one.panels["truth"][one.place(case)]
    lesion = (truth_HW > 0) & (truth_HW != IGNORED)
    return not lesion.any() and one.panels["label"][one.place(case)] != 1


def _row(
    axes: NDArray[Any],
    case: str,
    shown: Sequence[_Shown],
    segmenting: Sequence[_Shown],
    characters: int,
) -> None:
    """Draw a case; `characters` is the width of a panel."""
    first = segmenting[0]
    image_HW, truth_HW = (first.panels[key][first.place(case)] for key in ("images", "truth"))
    classifying = [one for one in shown if "pred" not in one.panels]
    scores = [
        f"{one.cell.label}: {t}" for one in classifying for t in score_lines(one.values[case])
    ]
    _show(axes[0], image_HW, None, "\n".join(scores))
    label = LABELS.get(float(first.panels["label"][first.place(case)]), "")
    _show(axes[1], image_HW, truth_HW, label)
    for axis, one in zip(axes[2:], segmenting, strict=True):
        own_HW, pred_HW = (one.panels[key][one.place(case)] for key in ("images", "pred"))
        text = "\n".join(wrapped(line, characters) for line in value_lines(one.values[case]))
        _show(axis, own_HW, pred_HW, text)


def _show(
    axis: Axes, image_HW: NDArray[np.uint8], mask_HW: NDArray[np.uint8] | None, below: str
) -> None:
    axis.imshow(image_HW, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    for k, colour in enumerate(CLASS_COLOURS):
        inside_HW = mask_HW == k if mask_HW is not None else np.zeros(image_HW.shape, bool)
        if k == 0 or not inside_HW.any():
            continue
        overlay_HWC = np.zeros((*image_HW.shape, 4))
        overlay_HWC[inside_HW] = to_rgba(colour, FILL)
        axis.imshow(overlay_HWC, interpolation="nearest")
        axis.contour(inside_HW, levels=[0.5], colors=[colour], linewidths=0.8)
    if mask_HW is not None and (mask_HW == IGNORED).any():
        axis.contour(mask_HW == IGNORED, levels=[0.5], colors="white", linewidths=0.6)
    axis.set(xticks=[], yticks=[])
    axis.set_xlabel(below)
    axis.spines[:].set_visible(False)


def _patches() -> list[Patch]:
    return [
        Patch(facecolor=to_rgba(colour, FILL), edgecolor=colour, label=name)
        for colour, name in zip(CLASS_COLOURS, CLASSES, strict=True)
        if colour != "none"
    ]


def _data(
    shown: Sequence[_Shown],
    segmenting: Sequence[_Shown],
    ranked: Mapping[str, float],
    picked: Mapping[str, str],
) -> pd.DataFrame:
    """Every case that was ranked, and the normal one, by cell; `row` is empty where not drawn."""
    used = [one for one in shown if "pred" not in one.panels or one in segmenting]
    return pd.DataFrame(
        [
            {
                "image_id": case,
                "row": picked.get(case, ""),
                "mean_dice": ranked.get(case, np.nan),
                "cell": one.cell.name,
                "seed": one.cell.runs[0].seed,
                **one.values[case],
            }
            for case in dict.fromkeys([*picked, *ranked])
            for one in used
        ]
    )
