"""How a run and its driver speak, beside the record: two small files in the run's folder.

`heartbeat` is touched by the run with its batches: while it is young, the run is alive. `stop` is
left by the driver: the run is no longer needed and ends after its epoch, as `pruned`.
"""

import time
from pathlib import Path

HEARTBEAT = "heartbeat"
STOP = "stop"
_EVERY_S = 1.0


class Pruned(Exception):
    """The driver has asked the run to end: its trial promises nothing."""


class Contact:
    """The run's end."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the run's; a first sign of life is given at once."""
        self._folder = folder
        self._beaten_at = -_EVERY_S
        self.beat()

    def beat(self) -> None:
        """Give a sign of life, at most one a second."""
        now = time.monotonic()
        if now - self._beaten_at >= _EVERY_S:
            (self._folder / HEARTBEAT).touch()
            self._beaten_at = now

    def check(self) -> None:
        """Raise Pruned where the driver has asked the run to end."""
        if (self._folder / STOP).exists():
            raise Pruned

    def close(self) -> None:
        """The run has ended: there is nothing left to say."""
        for name in (HEARTBEAT, STOP):
            (self._folder / name).unlink(missing_ok=True)


def ask_to_stop(folder: Path) -> None:
    """Let the run in this folder end after its epoch."""
    (folder / STOP).touch()


def last_beat(folder: Path) -> float | None:
    """When the run last gave a sign of life, in seconds since the epoch; None: it never has."""
    try:
        return (folder / HEARTBEAT).stat().st_mtime
    except FileNotFoundError:
        return None
