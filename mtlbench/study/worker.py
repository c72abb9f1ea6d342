"""Where a worker process begins, before anything that takes time to import.

It stands apart from the executors, whose import is torch's too: a worker that hangs in there must
end with its driver, and must be known to hang, all the same.
"""

import os
import pickle
import signal
import sys
import time
from importlib.abc import MetaPathFinder
from multiprocessing.connection import Connection

from mtlbench.processes import end_with_parent

SIGN = "a sign of life"
"""What a worker says while it imports, at most once a second."""


def begin(serve: bytes, pipe: Connection) -> None:
    """Bind this process to its parent, then call a function, pickled: so its module comes late."""
    end_with_parent()
    os.setsid()  # Ctrl-C is the driver's to handle, and the group can be killed as one
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signs = _Signs(pipe)
    sys.meta_path.insert(0, signs)
    function = pickle.loads(serve)
    sys.meta_path.remove(signs)
    function(pipe)


class _Signs(MetaPathFinder):
    """Finds no module, but says that one is being looked for."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._said_at = float("-inf")

    def find_spec(self, *_: object) -> None:
        """See `MetaPathFinder`."""
        now = time.monotonic()
        if now - self._said_at >= 1:
            self._pipe.send(SIGN)
            self._said_at = now
