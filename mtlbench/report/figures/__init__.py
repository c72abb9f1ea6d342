"""The figures of a report: one file each, one style, and what draws them all."""

from collections.abc import Iterator
from pathlib import Path

from mtlbench.report.collect import Study
from mtlbench.report.figures import (
    calibration,
    cases,
    curves,
    differences,
    ecdf,
    forest,
    froc,
    heatmap,
    importances,
    kept,
    plane,
    pr,
    roc,
    swarm,
    sweep,
    trials,
)
from mtlbench.report.figures.style import Drawn, Saved, save, styled
from mtlbench.report.numbers import Numbers

__all__ = ["Saved", "draw_all"]


def draw_all(study: Study, numbers: Numbers, folder: Path, *, images: bool) -> list[Saved]:
    """Write every figure that the study's data allow, as PDF, SVG and PNG, with its data."""
    folder.mkdir(parents=True)
    with styled():
        redrawn = images and not kept.lost(study)
        saved = [save(drawn, folder) for drawn in _figures(study, numbers, images=redrawn)]
    return saved + kept.keep(study, folder) if images and not redrawn else saved


def _figures(study: Study, numbers: Numbers, *, images: bool) -> Iterator[Drawn]:
    yield from forest.draw(study, numbers)
    yield from differences.draw(study, numbers)
    if study.config.kind == "ablation":  # a search's finalists are no curve
        yield from sweep.draw(study, numbers)
        yield from heatmap.draw(study, numbers)
    yield from plane.draw(study, numbers)
    yield from trials.draw(study)
    yield from importances.draw(study)
    for module in (roc, pr, calibration, froc, ecdf, swarm):
        yield from module.draw(study, numbers)
    yield from curves.draw(study, numbers)
    if images:
        yield from cases.draw(study, numbers)
