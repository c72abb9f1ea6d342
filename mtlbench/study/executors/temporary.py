"""A temporary folder that goes with all that uses it, however its process ends."""

import contextlib
import fcntl
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mtlbench.data.scratch import remove_unless_locked


@contextlib.contextmanager
def guarded_folder(prefix: str) -> Iterator[Path]:
    """Give a folder whose users `guard` kills when this process is done with it, or is gone.

    Ray needs that: the kernel ends its main processes with us, but their agents linger for a
    minute. What was left where the guard was killed too, the next call removes.
    """
    folder, handle = _locked_folder(prefix)
    guard = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("guard.py"), folder],
        stdin=subprocess.PIPE,
        start_new_session=True,  # what is sent to our group is not for it
    )
    try:
        yield folder
    finally:
        guard.communicate()
        os.close(handle)


def _locked_folder(prefix: str) -> tuple[Path, int]:
    """A new folder, and the handle by which this process holds its lock while it lives.

    It is locked before it gets the name by which others look for what is left.
    """
    for stale in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with contextlib.suppress(PermissionError):  # somebody else's
            remove_unless_locked(stale)
    fresh = Path(tempfile.mkdtemp(prefix="mtlbench-new-"))
    handle = os.open(fresh, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return fresh.rename(fresh.with_name(prefix + secrets.token_hex(4))), handle
