"""What the driver sees of a run that is being computed: its history, and whether it lives."""

import time
from pathlib import Path

from mtlbench.records import read_csv
from mtlbench.training.contact import last_beat
from mtlbench.training.loop import HISTORY
from mtlbench.training.state import EpochRow

_CLOCK_S = 1.0
"""How far the clock of a file system may lie behind ours."""


class Watch:
    """Follows one run by the files in its folder, wherever it is computed."""

    def __init__(self, folder: Path) -> None:
        """Begin at the run's first epoch; what a past attempt left is seen as well."""
        self._folder = folder
        self.epochs = 0
        """Epochs that have ended, in any attempt."""
        self._stamp: tuple[int, int] | None = None
        self._began = 0.0

    def begin(self) -> None:
        """The run is handed out, for the first time or again."""
        self._began = time.time() - _CLOCK_S

    def new_rows(self) -> list[EpochRow]:
        """Rows of history.csv that have not been seen before."""
        path = self._folder / "history.csv"
        try:
            found = path.stat()
            if self._stamp == (found.st_mtime_ns, found.st_size):
                return []
            rows = read_history(path)
        except FileNotFoundError:
            return []
        self._stamp = (found.st_mtime_ns, found.st_size)
        new, self.epochs = rows[self.epochs :], max(self.epochs, len(rows))
        return new

    def silent_s(self) -> float:
        """Seconds since the last sign of life; 0 before the first: the run may wait in a queue.

        An executor that hands it to a process gives the first, for that may hang while it starts.
        """
        beaten_at = last_beat(self._folder)
        return 0.0 if beaten_at is None or beaten_at < self._began else time.time() - beaten_at


def read_history(path: Path) -> list[EpochRow]:
    """The epochs of a history.csv; none where it is damaged, for the run writes all of it again.

    Raises:
        FileNotFoundError: there is no such file.
    """
    try:
        return [_parsed(row) for row in read_csv(path, HISTORY)]
    except ValueError:  # a DataError is one too
        return []


def _parsed(row: dict[str, str]) -> EpochRow:
    numbers: EpochRow = {k: float(v) if v else None for k, v in row.items() if k != "stage"}
    return {"stage": row["stage"]} | numbers
