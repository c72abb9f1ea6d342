"""The folder in which a prepared one is made, and which a kill leaves for the next call."""

import fcntl
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def scratch_folder(out: Path, key: str) -> Iterator[Path]:
    """Give a locked folder beside `out` that a kill leaves for the next call with the same key.

    Folders of other keys whose processes are gone are removed first. It is removed at the end,
    and where an exception ends the preparation, but for a signal's.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = out.parent / f".{out.name}.{key}.partial"
    for stale in out.parent.glob(f".{glob.escape(out.name)}.*.partial"):
        if stale != scratch:
            remove_unless_locked(stale)
    handle = _locked(scratch)
    try:
        yield scratch
    except Exception:
        shutil.rmtree(scratch)
        raise
    else:
        shutil.rmtree(scratch)
    finally:
        os.close(handle)


def _locked(scratch: Path) -> int:
    """Wait for the folder's lock; a folder that its holder has removed is made again."""
    while True:
        scratch.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            handle = os.open(scratch, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if scratch.exists() and os.path.samestat(os.fstat(handle), scratch.stat()):
                return handle
            os.close(handle)


def remove_unless_locked(folder: Path) -> None:
    """Remove a folder whose process is gone; another may be removing it at the same time."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass  # its process is alive
    finally:
        os.close(handle)
