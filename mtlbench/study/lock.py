"""One driver at a time: the lock of a study, and who holds it."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mtlbench.errors import BusyError, StudyError
from mtlbench.processes import is_alive
from mtlbench.records import read_json, write_json

_NAMED_WITHIN_S = 5.0


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Be the only driver of a study while the block runs.

    Raises:
        BusyError: another process drives it; its pid and host are named.
        StudyError: there can be no such folder.
    """
    lock = FileLock(folder / "driver.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        who = _holder(folder)
        raise BusyError(
            f"{folder}: is being driven by pid {who['pid']} on host {who['host']}"
        ) from None
    except (FileNotFoundError, FileExistsError, NotADirectoryError, PermissionError) as error:
        reason = f"must be a folder that can be written, but: {error.strerror}"
        raise StudyError(f"--results: {folder}: {reason}") from None
    try:
        write_json(folder / "driver.json", {"pid": os.getpid(), "host": socket.gethostname()})
        yield
    finally:
        (folder / "driver.json").unlink(missing_ok=True)
        lock.release()


def _holder(folder: Path) -> dict[str, Any]:
    """Who holds the lock; it says so a moment after it has taken it."""
    until = time.monotonic() + _NAMED_WITHIN_S
    while time.monotonic() < until:
        try:
            who: dict[str, Any] = read_json(folder / "driver.json")
        except (FileNotFoundError, json.JSONDecodeError):
            time.sleep(0.05)
        else:
            if who["host"] != socket.gethostname() or is_alive(who["pid"]):
                return who
            time.sleep(0.05)  # a dead driver's, which the new one is about to replace
    return {"pid": "unknown", "host": "unknown"}
