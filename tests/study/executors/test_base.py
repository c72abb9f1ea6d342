import pickle

import pytest

from mtlbench.errors import BusyError, DiskError
from mtlbench.study.executors import Ended, Kind


@pytest.mark.parametrize(
    ("error", "reason", "kind"),
    [
        (DiskError("it is full"), "it is full", Kind.DISK),
        (BusyError("another has it"), "BusyError: another has it", Kind.BUSY),
        (ValueError("DiskError: not one"), "ValueError: DiskError: not one", Kind.DIED),
    ],
)
def test_what_a_run_raises_tells_how_it_ended(error, reason, kind):
    ended = Ended.by("a", error)
    assert ended == Ended("a", reason, kind)
    assert pickle.loads(pickle.dumps(ended)) == ended
