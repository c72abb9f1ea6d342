"""TensorBoard: a folder of event files a run; `tensorboard --logdir` of the folder shows them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtlbench.study.trackers.base import Scalar, file_name, flat, numbers, outcome, step
from mtlbench.training.state import EpochRow


class TensorboardTracker:
    """Event files in `trackers/tensorboard/<label> <hash>/`; resumed runs add a file there."""

    def __init__(self, folder: Path, study: str) -> None:
        """Nothing is written before the first run begins."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter
        self._folder = folder / "trackers" / "tensorboard"
        self._open: dict[str, tuple[Any, dict[str, Scalar]]] = {}

    def begun(self, name: str, label: str, config: Mapping[str, Any]) -> None:
        """Open the run's folder; one of an earlier start is found by the hash."""
        if name not in self._open:
            new = self._folder / f"{file_name(label)} {name}"
            place = next(self._folder.glob(f"* {name}"), new)
            purge = 0 if place.exists() else None  # a resumed run's epochs all come again
            self._open[name] = self._writer(str(place), purge_step=purge), flat(config)

    def epoch(self, name: str, row: EpochRow) -> None:
        """A scalar per number, at the optimisation step; on disk when this returns."""
        writer, _ = self._open[name]
        for key, value in numbers(row).items():
            writer.add_scalar(key, value, step(row))
        writer.flush()

    def ended(self, name: str, record: Mapping[str, Any]) -> None:
        """The configuration beside what came of it, for the tab HPARAMS, and how it ended."""
        if name not in self._open:
            return
        writer, config = self._open.pop(name)
        writer.add_text("state", ": ".join(filter(None, (record["state"], record.get("error")))))
        writer.add_hparams(config, outcome(record), run_name=".")
        writer.close()

    def close(self) -> None:
        """Close what is open."""
        for writer, _ in self._open.values():
            writer.close()
        self._open.clear()
