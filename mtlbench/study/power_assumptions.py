"""What is known before the next run: assumptions of an outlook, each with where it is from."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mtlbench.analysis import load_predictions
from mtlbench.analysis.measured import measure
from mtlbench.config import AssumeConfig
from mtlbench.errors import DataError, StudyError
from mtlbench.report.collect import Study, read_study

SET, DEFAULT = "set in [compare.assume]", "default"
MOST_RUNS = 200
"""That are read; more would say much the same, and later."""


@dataclass(frozen=True)
class Evidence:
    """Assumptions with the source of each: `SET`, `DEFAULT`, or the runs it is measured on."""

    assume: AssumeConfig
    sources: Mapping[str, str]


def gather(assume: AssumeConfig, folder: Path, beside: Path) -> Evidence:
    """What is set, else measured on this study's runs, else on the pilot's, else the default.

    Args:
        assume: the study's table.
        folder: results of this study, as far as they are.
        beside: folder of the study file.

    Raises:
        StudyError: the pilot is not the results folder of a study with a complete run.
        DataError: a file of the pilot is damaged.
    """
    keys = assume.model_dump(exclude={"pilot"})
    values: dict[str, float] = {}
    sources = dict.fromkeys(keys, DEFAULT)
    if assume.pilot:
        _take(read_study(beside / assume.pilot), values, sources)
    with suppress(StudyError, DataError):  # nothing is complete yet, or `study run` has to mend it
        _take(read_study(folder), values, sources)
    stated = assume.model_fields_set - {"pilot"}
    values = {key: value for key, value in values.items() if key not in stated}
    sources |= dict.fromkeys(stated, SET)
    return Evidence(assume.model_copy(update=values), sources)


def _take(study: Study, values: dict[str, float], sources: dict[str, str]) -> None:
    """Measure a study's complete runs, those of the baseline first; of several folds, the mean."""
    baselines = _baselines(study)
    cells = [cell for cell in study.complete if study.same_runs[cell.name] == cell.name]
    cells.sort(key=lambda cell: cell.name not in baselines.values())
    runs = [(cell.name, run) for cell in cells for run in cell.runs][:MOST_RUNS]
    frames: dict[int | None, dict[str, list[pd.DataFrame]]] = {}
    for name, run in runs:
        frame = load_predictions(run.folder.path / "predictions.csv").assign(seed=run.seed)
        frames.setdefault(run.fold, {}).setdefault(name, []).append(frame)
    of_folds = [
        measure({name: pd.concat(parts) for name, parts in of_fold.items()}, baselines)
        for of_fold in frames.values()
    ]
    found = pd.DataFrame(of_folds).mean()
    where = f"measured on the validation predictions of {len(runs)} runs in {study.folder}"
    for key in map(str, found.index):
        values[key], sources[key] = float(found[key]), where


def _baselines(study: Study) -> dict[str, str]:
    """Metric → the cell that stands for the baseline's arm."""
    named = study.config.baseline
    arms = dict.fromkeys(("auc", "dice"), named) if isinstance(named, str) else named
    cells = {
        metric: study.representative(arm) or next(iter(study.of_arm(arm)), None)
        for metric, arm in arms.items()
    }
    return {metric: study.same_runs[cell.name] for metric, cell in cells.items() if cell}
