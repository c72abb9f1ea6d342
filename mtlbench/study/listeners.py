"""Who hears how a study goes: the screen, and the trackers that the user asked for."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mtlbench.study.agenda import Work
from mtlbench.study.design import Run
from mtlbench.study.progress import Progress
from mtlbench.study.trackers import Tracker
from mtlbench.training.state import EpochRow


class Listeners:
    """Passes each event on; a tracker that fails is dropped, and the study goes on."""

    def __init__(self, progress: Progress, trackers: Sequence[Tracker] = ()) -> None:
        """Trackers are called in this process."""
        self._progress = progress
        self._trackers = list(trackers)

    def begun(self, run: Run, label: str) -> None:
        """A run is handed out, perhaps again."""
        self._progress.begun(run, label)
        self._tell(lambda tracker: tracker.begun(run.hash, label, run.config))

    def epoch(self, run: Run, row: EpochRow) -> None:
        """A run has finished an epoch."""
        self._progress.epoch(run, row)
        self._tell(lambda tracker: tracker.epoch(run.hash, row))

    def ended(self, run: Run, record: Mapping[str, Any], work: Work) -> None:
        """A run is complete, pruned, or has failed for good; this is what there is to do."""
        self._progress.ended(run, str(record.get("state")), work)
        self._tell(lambda tracker: tracker.ended(run.hash, record))

    def note(self, message: str) -> None:
        """Something worth a line."""
        self._progress.note(message)

    def tick(self, work: Work) -> None:
        """Time has passed."""
        self._progress.tick(work)

    def close(self) -> None:
        """The study is over, or stops for now."""
        self._progress.close()
        self._tell(lambda tracker: tracker.close())

    def _tell(self, event: Callable[[Tracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                event(tracker)
            except Exception as error:
                self._trackers.remove(tracker)
                name = type(tracker).__name__
                print(f"{name} fails and is left out from here on: {error}", file=sys.stderr)
