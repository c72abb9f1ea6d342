"""MLflow: one SQLite file. `mlflow ui --backend-store-uri sqlite:///.../mlflow.db` shows it."""

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtlbench.study.trackers.base import flat, numbers, outcome, step
from mtlbench.training.state import EpochRow

TAG = "mtlbench.run"
"""The run's hash: MLflow gives its runs ids of its own."""
STATUS = {"complete": "FINISHED", "failed": "FAILED", "pruned": "KILLED"}
MAX_PARAMS = 100
"""What MLflow takes in one call."""


class MlflowTracker:
    """An experiment in `trackers/mlflow/mlflow.db`: MLflow has put its file store to rest."""

    def __init__(self, folder: Path, study: str) -> None:
        """Open or make the database and the study's experiment in it."""
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read at import; it would send to a server
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient

        for chatty in ("mlflow", "alembic"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        self._metric, self._param = Metric, Param
        place = (folder / "trackers" / "mlflow").resolve()
        place.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(tracking_uri=f"sqlite:///{place / 'mlflow.db'}")
        known = self._client.get_experiment_by_name(study)
        self._experiment: str = known.experiment_id if known else self._client.create_experiment(
            study, artifact_location=(place / "artifacts").as_uri()
        )  # fmt: skip
        self._open: dict[str, str] = {}
        """MLflow's id of each run that is being computed."""

    def begun(self, name: str, label: str, config: Mapping[str, Any]) -> None:
        """Go on with the run that has this hash, or make it, with its configuration."""
        found = self._client.search_runs([self._experiment], f"tags.`{TAG}` = '{name}'")
        if found:
            self._open[name] = found[0].info.run_id
            self._client.update_run(self._open[name], status="RUNNING", name=label)
            return
        made = self._client.create_run(self._experiment, run_name=label, tags={TAG: name})
        self._open[name] = made.info.run_id
        params = [self._param(key, str(value)) for key, value in flat(config).items()]
        for i in range(0, len(params), MAX_PARAMS):
            self._client.log_batch(self._open[name], params=params[i : i + MAX_PARAMS])

    def epoch(self, name: str, row: EpochRow) -> None:
        """A metric per number, at the optimisation step."""
        self._log(name, numbers(row), step(row))

    def ended(self, name: str, record: Mapping[str, Any]) -> None:
        """The validation metrics, the error if there is one, and the status."""
        if name not in self._open:
            return
        self._log(name, outcome(record), 0)
        run = self._open.pop(name)
        for key in ("state", "error"):
            if record.get(key):
                self._client.set_tag(run, key, record[key])
        self._client.set_terminated(run, STATUS[record["state"]])

    def close(self) -> None:
        """Mark what is open as killed: it goes on when the study does."""
        for run in self._open.values():
            self._client.set_terminated(run, "KILLED")
        self._open.clear()

    def _log(self, name: str, values: Mapping[str, float], at: int) -> None:
        now = int(1000 * time.time())
        metrics = [self._metric(key, value, now, at) for key, value in values.items()]
        self._client.log_batch(self._open[name], metrics=metrics)
