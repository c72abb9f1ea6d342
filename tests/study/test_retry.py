import pytest

from mtlbench.errors import BusyError
from mtlbench.records import RunFolder
from mtlbench.study.lock import hold
from mtlbench.study.retry import forgive, given_up


@pytest.fixture
def failed(tmp_path):
    """A study with three runs that have failed, each in its way."""
    (tmp_path / "cells.csv").touch()
    reasons = {
        "a": {"failures": 3},
        "b": {"failures": 1, "final": True},
        "c": {"failures": 0, "deaths": {"times": 3, "epochs": 4}},
    }
    for name, reason in reasons.items():
        RunFolder(tmp_path / "runs" / name).write_record({"state": "failed", **reason})
    return tmp_path


def records(folder):
    return [RunFolder(path).record() for path in sorted((folder / "runs").glob("*"))]


def test_runs_that_are_given_up_are_forgiven(failed):
    assert all(given_up(record, retries=2) for record in records(failed))
    assert [given_up(record, retries=3) for record in records(failed)] == [False, True, False]
    assert forgive(failed) == ["a", "b", "c"]
    assert not any(given_up(record, retries=0) for record in records(failed))
    assert {record["state"] for record in records(failed)} == {"interrupted"}


def test_nothing_is_forgiven_beside_a_driver_or_a_job(failed):
    before = records(failed)
    with hold(failed), pytest.raises(BusyError, match="is being driven by pid"):
        forgive(failed)
    last = RunFolder(failed / "runs" / "d")
    last.write_record({"state": "running"})
    with last.lock(), pytest.raises(BusyError, match="d: is being computed"):
        forgive(failed)
    assert records(failed)[:3] == before
