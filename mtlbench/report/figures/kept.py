"""The figure of cases of a clone: panels do not travel, so the old figure stays while it holds."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from mtlbench.report.collect import Study
from mtlbench.report.figures import case_values, cases
from mtlbench.report.figures.style import Saved

NAME = "cases"
KINDS = ("pdf", "svg", "png", "csv")
COLUMNS = {"image_id", "row", "mean_dice", "cell", "seed", *case_values.COLUMNS}


def lost(study: Study) -> list[str]:
    """The panels that shown cells' first runs wrote and that are gone, from the study's folder."""
    runs = [cell.runs[0] for cell in study.shown]
    paths = [run.folder.path / "panels.npz" for run in runs if "panels.npz" in run.record["files"]]
    return [str(path.relative_to(study.folder)) for path in paths if not path.is_file()]


def warning(study: Study) -> str:
    """What became of the figure where panels are gone; empty where none are."""
    if not (gone := lost(study)):
        return ""
    what = (
        "the figure of cases is that of the report before, whose numbers agree with the runs"
        if _holds(study)
        else "the figure of cases is not drawn"
    )
    return f"missing: {', '.join(gone)}; {what}"


def keep(study: Study, folder: Path) -> list[Saved]:
    """Copy the old report's figure to `folder` if its data are still those of the runs."""
    if not _holds(study):
        return []
    for kind in KINDS:
        shutil.copy2(_old(study) / f"{NAME}.{kind}", folder)
    data = _data(study).fillna({"row": ""})
    return [Saved(NAME, folder, True, cases.caption(data), cases.alt(data))]


def _old(study: Study) -> Path:
    return study.folder / "report" / "figures"


def _data(study: Study) -> pd.DataFrame:
    return pd.read_csv(_old(study) / f"{NAME}.csv", dtype={"image_id": str})


def _holds(study: Study) -> bool:
    """Whether an old figure is there in full and says of each case what the runs' files say."""
    old = _old(study)
    if not all((old / f"{NAME}.{kind}").is_file() for kind in KINDS):
        return False
    cells, data = {cell.name: cell for cell in study.shown}, _data(study)
    if not {*data} >= COLUMNS:  # of an older version
        return False
    for (name, seed), rows in data.groupby(["cell", "seed"]):
        if name not in cells or cells[name].runs[0].seed != seed:
            return False
        now = case_values.case_values(cells[name]).reindex(rows["image_id"])
        if not np.allclose(rows[[*now]].to_numpy(float), now, equal_nan=True):
            return False
    return True
