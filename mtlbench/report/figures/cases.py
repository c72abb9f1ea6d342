"""Figure 2 of Le et al. 2019: image, ground truth and each arm's prediction, for two cases.

P = cases of a panels file, H, W = height and width in pixels.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from mtlbench.config import CLASSES, IGNORED
from mtlbench.report import files
from mtlbench.report.collect import Cell, Study
from mtlbench.report.figures.style import TWO_COLUMNS, Drawn, wrapped
from mtlbench.report.numbers import Numbers

CLASS_COLOURS = ("none", "#56B4E9", "#D55E00", "#009E73", "#F0E442")
"""Healthy is transparent; the rest are Okabe and Ito's, apart on grey."""
FILL = 0.45
"""Opacity of a class over the image; its outline is solid."""

Panels = Mapping[str, NDArray[Any]]


def draw(study: Study, numbers: Numbers) -> Iterator[Drawn]:
    """Rows are a normal and a cancer case, columns the image, the truth and each arm."""
    del numbers  # every figure is drawn from the same two values
    panels = {cell.name: found for cell in study.shown if (found := _panels(cell))}
    rows = _rows(next(iter(panels.values()))) if panels else []
    if not rows:
        return
    shown = tuple(cell for cell in study.shown if cell.name in panels)
    segmenting = tuple(cell for cell in shown if "pred" in panels[cell.name])
    columns = 2 + len(segmenting)
    first = next(iter(panels.values()))
    height, width = first["images"].shape[1:]
    side = TWO_COLUMNS / columns
    figure = Figure(figsize=(TWO_COLUMNS, len(rows) * (side * height / width + 0.2) + 0.7))
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, case in zip(axes, rows, strict=True):
        _row(line, case, shown, segmenting, panels)
    titles = ["Image", "Ground truth", *(cell.label for cell in segmenting)]
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(wrapped(title, int(15 * side)))
    patches = [
        Patch(facecolor=to_rgba(colour, FILL), edgecolor=colour, label=name)
        for colour, name in zip(CLASS_COLOURS, CLASSES, strict=True)
        if colour != "none"
    ]
    patches.insert(0, Patch(facecolor="none", edgecolor="#b0b0b0", label=CLASSES[0]))
    figure.legend(handles=patches, loc="outside lower center", ncols=5)
    yield Drawn(
        "cases",
        figure,
        f"A normal and a cancer case of the test set, picked without regard to any prediction "
        f"({', '.join(rows)}): image, ground truth and each arm’s segmentation by seed "
        f"{shown[0].runs[0].seed}, with its cancer score below. White outlines: ignored.",
        "Image, ground truth and predictions of a normal and a cancer case",
    )


def _panels(cell: Cell) -> Panels | None:
    path = cell.runs[0].folder.path / "panels.npz"
    if not path.is_file():
        return None
    found = files.panels(path)
    return found if found["image_id"].size else None


def _rows(panels: Panels) -> list[str]:
    """The first normal case and the first cancer."""
    lesions = ((panels["truth"] > 0) & (panels["truth"] != IGNORED)).any(axis=(1, 2))
    label, names = panels["label"], panels["image_id"]
    picked = [*names[(label != 1) & ~lesions][:1], *names[label == 1][:1]]
    return [str(name) for name in picked]


def _row(
    axes: NDArray[Any],
    case: str,
    shown: tuple[Cell, ...],
    segmenting: tuple[Cell, ...],
    panels: Mapping[str, Panels],
) -> None:
    first = next(iter(panels.values()))
    i = _find(first, case)
    image_HW, truth_HW = first["images"][i], first["truth"][i]
    scores = [
        f"{cell.label}: {score}"
        for cell in shown
        if "pred" not in panels[cell.name] and (score := _score(panels[cell.name], case))
    ]
    _show(axes[0], image_HW, None, "\n".join(scores))
    axes[0].set_ylabel(f"{'Cancer' if first['label'][i] == 1 else 'Normal'}: {case}")
    _show(axes[1], image_HW, truth_HW, "")
    for axis, cell in zip(axes[2:], segmenting, strict=True):
        own = panels[cell.name]
        _show(axis, image_HW, own["pred"][_find(own, case)], _score(own, case))


def _find(panels: Panels, case: str) -> int:
    """Where a case stands; the rule that picks panels is the same for every run of a study."""
    return int(np.flatnonzero(panels["image_id"] == case)[0])


def _score(panels: Panels, case: str) -> str:
    score = panels["score"][_find(panels, case)]
    return "" if np.isnan(score) else f"score {score:.2f}"


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
