"""Weights & Biases, offline: `wandb sync` sends the folders when, and if, the user wants it."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtlbench.study.trackers.base import numbers, outcome, step
from mtlbench.training.state import EpochRow

if TYPE_CHECKING:
    from wandb import Run


class WandbTracker:
    """Offline runs in `trackers/wandb/`, their ids our hashes.

    A resumed run is a further folder of the same id, which `wandb sync` joins in order of time.
    """

    def __init__(self, folder: Path, study: str) -> None:
        """Nothing is written, and no process started, before the first run begins."""
        os.environ["WANDB_ERROR_REPORTING"] = "false"  # read at import; it would call Sentry
        import wandb

        self._wandb = wandb
        self._study = study
        self._folder = folder / "trackers"
        self._settings = wandb.Settings(
            silent=True, console="off", disable_git=True, disable_code=True,
            x_disable_stats=True, x_disable_meta=True, x_disable_machine_info=True,
            x_save_requirements=False,
        )  # fmt: skip  # W&B's own: no load, command line, packages or printed lines are kept
        logging.getLogger("wandb").setLevel(logging.CRITICAL)
        self._open: dict[str, Run] = {}

    def begun(self, name: str, label: str, config: Mapping[str, Any]) -> None:
        """Open a run of this id."""
        if name in self._open:
            return
        self._folder.mkdir(exist_ok=True)  # it makes `wandb` below
        self._open[name] = self._wandb.init(
            mode="offline", dir=self._folder, project=self._study, id=name, name=label,
            config=dict(config), resume="allow", reinit="create_new", settings=self._settings,
        )  # fmt: skip

    def epoch(self, name: str, row: EpochRow) -> None:
        """The row's numbers at the optimisation step; W&B leaves a step out that it has had."""
        self._open[name].log(numbers(row), step=step(row))

    def ended(self, name: str, record: Mapping[str, Any]) -> None:
        """The validation metrics and how it ended as the run's summary."""
        if name not in self._open:
            return
        run = self._open.pop(name)
        told = {key: record[key] for key in ("state", "error") if record.get(key)}
        run.summary.update(outcome(record) | told)
        run.finish(exit_code=int(record["state"] == "failed"))

    def close(self) -> None:
        """Close what is open as unfinished."""
        for run in self._open.values():
            run.finish(exit_code=75)
        self._open.clear()
