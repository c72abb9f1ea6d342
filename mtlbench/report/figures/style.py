"""One look for all figures, and files whose bytes depend on the data alone."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import matplotlib.style
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from mtlbench.report.collect import Cell, Study
from mtlbench.report.files import write_csv
from mtlbench.report.text import METRIC_NAMES, lines

ONE_COLUMN, TWO_COLUMNS = 3.5, 7.0
"""Widths of a figure in a paper, in inches."""

ROW_LABEL = 34
"""Characters of a line of a row's label."""

STYLE = Path(__file__).parents[1] / "mtlbench.mplstyle"
PALETTE: tuple[str, ...] = tuple(
    mpl.rc_params_from_file(STYLE, use_default_template=False)["axes.prop_cycle"].by_key()["color"]
)
"""The style file's colours, one an arm."""
DASHES = ("-", "--", ":", "-.")
MARKERS = "Ds^v"
"""Diamonds first: one for each published source."""
GREY = "#6b6b6b"
HALO = withStroke(linewidth=1.5, foreground="white")
"""Keeps a text readable that lies on a line."""

_METADATA: dict[str, dict[str, str | None]] = {
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure before it is written; `caption` stands below it, `alt` is for those not seeing."""

    name: str
    figure: Figure
    data: pd.DataFrame
    """What is drawn, a row per point; fractions, not rounded."""
    caption: str
    alt: str


@dataclass(frozen=True, slots=True)
class Saved:
    """A figure on disk: `folder/name.{pdf,svg,png,csv}`; `wide` if it spans two columns."""

    name: str
    folder: Path
    wide: bool
    caption: str
    alt: str


@contextmanager
def styled() -> Iterator[None]:
    """Draw with our settings alone, whatever the user's matplotlibrc says."""
    with mpl.style.context(STYLE, after_reset=True):
        yield


def save(drawn: Drawn, folder: Path) -> Saved:
    """Write a figure as PDF, SVG and PNG, without dates or versions, and its data as CSV."""
    drawn.figure.draw_without_rendering()
    drawn.figure.set_layout_engine("none")  # laid out once, not once per format
    for suffix, metadata in _METADATA.items():
        drawn.figure.savefig(folder / f"{drawn.name}.{suffix}", metadata=metadata)
    write_csv(folder / f"{drawn.name}.csv", drawn.data)
    wide = drawn.figure.get_figwidth() > ONE_COLUMN
    return Saved(drawn.name, folder, wide, drawn.caption, drawn.alt)


def colours(study: Study) -> dict[str, str]:
    """One colour per arm, in the study's order."""
    return {arm.name: PALETTE[i % len(PALETTE)] for i, arm in enumerate(study.config.arms)}


def line_styles(study: Study, cells: tuple[Cell, ...]) -> dict[str, dict[str, Any]]:
    """An arm's colour, and another dash for each arm, for print in grey, and each of its cells."""
    palette = colours(study)
    nth = {arm: i for i, arm in enumerate(palette)}
    styles = {}
    for cell in cells:
        dash = DASHES[nth[cell.arm] % len(DASHES)]
        styles[cell.name] = {"color": palette[cell.arm], "linestyle": dash}
        nth[cell.arm] += 1
    return styles


def letters(axes: list[Axes]) -> None:
    """Mark panels a, b, c as journals ask."""
    for axis, letter in zip(axes, "abcdefghij", strict=False):
        axis.set_title(letter, loc="left", fontweight="bold")


def mark(axis: Axes, x: float, y: float, colour: str, *, bare: bool) -> None:
    """A value of ours: a dot, hollow where it has no interval."""
    face = "white" if bare else colour
    axis.plot(x, y, "o", color=colour, mfc=face, markersize=4, clip_on=False)


def mark_published(
    axis: Axes, x: float, y: float, source: int, label: str, *, comparable: bool
) -> None:
    """A published value: grey, hollow where it is not comparable; a marker for each source."""
    face, marker = GREY if comparable else "white", MARKERS[source % len(MARKERS)]
    axis.plot(x, y, marker, color=GREY, mfc=face, markersize=4, label=label, linestyle="none")


def metric_label(metric: str) -> str:
    """An axis of a narrow panel: two lines for every metric, so that all stand at one height."""
    return f"{METRIC_NAMES[metric]}\n(%)"


def widen(axis: Axes, which: Literal["x", "y"], least: float = -100) -> None:
    """Let an axis in percent span at least a point, so that rounding does not look like news.

    An axis that is widened does not begin below `least`, the smallest value that there is.
    """
    low, high = axis.get_xlim() if which == "x" else axis.get_ylim()
    if high - low < 1:
        start = max((low + high) / 2 - 0.5, least)
        (axis.set_xlim if which == "x" else axis.set_ylim)(start, start + 1)
    axis.locator_params(axis=which, nbins=3 if which == "x" else 5)


def wrapped(label: str, width: int = ROW_LABEL) -> str:
    """Break a label into lines."""
    return "\n".join(lines(label, width))


def rows_height(labels: Iterable[str], least: float) -> float:
    """Height in inches of rows with these labels, each at least `least`."""
    labels = list(labels)
    most = max(label.count("\n") + 1 for label in labels)
    return len(labels) * max(least, 0.07 + 0.125 * most)


def place_legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """One legend below all panels, each label once."""
    known: dict[str, Any] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        known |= dict(zip(labels, handles, strict=True))
    columns = 4 if max(map(len, known), default=0) < 30 else 2
    figure.legend(known.values(), known, loc="outside lower center", ncols=columns)
