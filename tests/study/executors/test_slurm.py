import os
import signal
import sys
from importlib.util import find_spec

import pytest

from mtlbench.config import ResourcesConfig
from mtlbench.errors import StudyError
from mtlbench.records import RunFolder, read_json
from mtlbench.study.executors import EXECUTORS, Kind

if find_spec("submitit") is None:
    pytest.skip("submitit is an extra", allow_module_level=True)
from mtlbench.study.executors.jobs import (
    Job,
    Ticket,
    read_ticket,
    ticket_lock,
    write_ticket,
)

CLUSTER = os.environ.get("MTLBENCH_TEST_CLUSTER", "local")
"""`slurm` where there is one that this machine may submit to."""
RESOURCES = ResourcesConfig(slurm={"cluster": CLUSTER})


@pytest.fixture
def executor(tmp_path):
    executor = EXECUTORS["slurm"]([("cpu",), ("cpu",)], RESOURCES, tmp_path)
    yield executor
    executor.close()


def jobs(folder):
    """Every job that was ever submitted has a folder of logs."""
    return sorted(path.name for path in (folder / "slurm").glob("[0-9]*"))


def test_runs_are_those_of_the_local_executor_to_the_byte(
    runs, tools, expected, executor, tmp_path
):
    for index in range(2):
        executor.submit(runs.task(tmp_path, index))
    assert {ended.reason for ended in tools.until_ended(executor, 2)} == {None}
    found = tools.outcome(tmp_path)
    assert len(found) == 8
    assert found.items() <= expected.items()
    assert len(jobs(tmp_path)) == 2
    assert not list(tmp_path.glob("runs/*/job.json"))


def test_a_run_that_raises_says_why(runs, tools, executor, tmp_path):
    broken = runs.broken(tmp_path)
    executor.submit(broken)
    (ended,) = tools.until_ended(executor)
    assert ended.run == broken.folder.name
    assert ended.reason.startswith("FileNotFoundError")
    assert RunFolder(broken.folder).state() == "failed"
    assert not (broken.folder / "job.json").exists()


@pytest.mark.parametrize("hangs", [False, True])
def test_a_job_that_is_killed_ends_its_run_and_the_next_goes_on(
    runs, tools, executor, tmp_path, hangs
):
    task = runs.task(tmp_path, epochs=tools.LONG)
    executor.submit(task)
    pid = tools.until_computing(task.folder)
    if hangs:
        os.kill(pid, signal.SIGSTOP)
        executor.kill(task.folder.name)
    else:
        os.kill(pid, signal.SIGKILL)
    (ended,) = tools.until_ended(executor)
    if hangs and CLUSTER == "slurm":
        assert ended.reason == "its job was asked to end"  # Slurm sends SIGCONT, then SIGTERM
    else:
        assert f"its job {jobs(tmp_path)[0]} ended without a word" in ended.reason
    assert ended.kind == Kind.DIED
    tools.wait_for(lambda: not tools.alive({pid}))
    executor.submit(runs.task(tmp_path))
    assert tools.until_ended(executor)[0].reason is None
    assert RunFolder(task.folder).record()["attempts"] == 2


def test_a_job_that_somebody_asks_to_end_is_excused(runs, tools, executor, tmp_path):
    task = runs.task(tmp_path, epochs=tools.LONG)
    executor.submit(task)
    os.kill(tools.until_computing(task.folder), signal.SIGTERM)
    (ended,) = tools.until_ended(executor)
    assert ended.kind == Kind.ASKED
    assert (task.folder / "checkpoints.json").exists()


def test_close_writes_a_checkpoint_and_leaves_nothing(runs, tools, tmp_path):
    before = tools.descendants(os.getpid())
    executor = EXECUTORS["slurm"]([("cpu",), ("cpu",)], RESOURCES, tmp_path)
    task, late = runs.task(tmp_path, epochs=tools.LONG), runs.task(tmp_path, 1)
    executor.submit(task)
    pid = tools.until_computing(task.folder)
    executor.submit(late)
    there = (tools.descendants(os.getpid()) | {pid}) - before
    assert len(there) >= (3 if CLUSTER == "local" else 1)
    executor.close()
    assert (task.folder / "checkpoints.json").exists()
    assert RunFolder(task.folder).state() == "interrupted"
    tools.wait_for(lambda: not tools.alive(there))
    assert tools.descendants(os.getpid()) <= before
    assert not list(tmp_path.glob("runs/*/job.json"))
    assert RunFolder(late.folder).state() == "pending"


def test_jobs_of_a_killed_driver_are_followed_and_never_doubled(
    runs, tools, expected, tmp_path, start_driver
):
    task = runs.task(tmp_path, 3, epochs=40)
    driver = start_driver("slurm", tmp_path, task, RESOURCES)
    pid = tools.until_computing(task.folder)
    os.kill(pid, signal.SIGSTOP)  # so that it does not end before the next driver is there
    driver.kill()
    driver.wait()
    executor = EXECUTORS["slurm"]([("cpu",)], RESOURCES, tmp_path)
    try:
        executor.submit(task)
        assert executor.wait(0.5) == []
        os.kill(pid, signal.SIGCONT)
        assert tools.until_ended(executor)[0].reason is None
    finally:
        executor.close()
    assert RunFolder(task.folder).record()["attempts"] == 1
    assert len(jobs(tmp_path)) == 1
    assert tools.outcome(tmp_path).items() <= expected.items()
    tools.wait_for(lambda: not tools.alive({pid}))


def test_a_waiting_job_of_a_killed_driver_is_followed(runs, tools, tmp_path, start_driver):
    task = runs.task(tmp_path)
    driver = start_driver("slurm", tmp_path, task, RESOURCES)
    tools.wait_for(lambda: (task.folder / "job.json").exists())
    tools.wait_for(lambda: read_json(task.folder / "job.json")["id"])
    driver.kill()
    executor = EXECUTORS["slurm"]([("cpu",)], RESOURCES, tmp_path)
    executor.submit(task)
    assert tools.until_ended(executor)[0].reason is None
    executor.close()
    assert len(jobs(tmp_path)) == 1


def test_a_job_whose_driver_died_while_it_submitted_it_leaves(
    runs, tools, executor, tmp_path, handlers_kept
):
    task = runs.task(tmp_path)
    write_ticket(task.folder, Ticket(CLUSTER, ("cpu",)))
    executor.submit(task)
    ticket = read_json(task.folder / "job.json")
    assert ticket["id"], "a job of its own"
    assert tools.until_ended(executor)[0].reason is None
    assert RunFolder(task.folder).record()["attempts"] == 1
    files = {path: path.stat().st_mtime_ns for path in task.folder.glob("*.*")}
    late = Job(task, "the token of the ticket that was replaced", None)
    with handlers_kept():
        late()
        write_ticket(task.folder, Ticket(CLUSTER, ("cpu",)))
        late()
    assert files.items() <= {p: p.stat().st_mtime_ns for p in task.folder.glob("*.*")}.items()


def test_a_job_that_has_begun_without_its_number_being_known_is_followed(
    runs, tools, executor, tmp_path
):
    task = runs.task(tmp_path)
    write_ticket(task.folder, Ticket("slurm", ("cpu",)))
    with ticket_lock(task.folder):
        executor.submit(task)
        assert executor.wait(0.3) == []
    assert "without a word" in tools.until_ended(executor)[0].reason
    assert jobs(tmp_path) == []


def test_a_ticket_keeps_what_ended_its_job(tmp_path):
    ticket = Ticket(CLUSTER, ("cpu",), reason="it is full", kind=Kind.DISK)
    write_ticket(tmp_path, ticket)
    assert read_ticket(tmp_path) == ticket
    assert read_json(tmp_path / "job.json")["kind"] == "disk"


def test_a_preempted_job_queues_again_and_ends_with_the_same_bytes(
    runs, tools, expected, executor, tmp_path
):
    task = runs.task(tmp_path, 3, epochs=40)
    executor.submit(task)
    os.kill(tools.until_computing(task.folder), signal.SIGUSR2)
    assert tools.until_ended(executor)[0].reason is None
    assert RunFolder(task.folder).record()["attempts"] == 2
    assert len(jobs(tmp_path)) == 1
    assert tools.outcome(tmp_path).items() <= expected.items()


def test_without_the_extra_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    monkeypatch.delitem(sys.modules, "mtlbench.study.executors.slurm", raising=False)
    with pytest.raises(StudyError, match=r"--executor slurm needs the extra: .*mtlbench\[slurm\]"):
        EXECUTORS["slurm"]([("cpu",)], RESOURCES, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cluster": "lsf"}, r"resources.slurm.cluster: must be one of \['local', 'slurm'\]"),
        ({"cluster": "local", "slurm_partitoin": "gpu"}, "slurm_partitoin"),
        ({"cluster": "local", "timeout_min": "1h"}, "timeout_min"),
    ],
)
def test_wrong_options_are_refused(tmp_path, options, message):
    with pytest.raises(StudyError, match=message):
        EXECUTORS["slurm"]([("cpu",)], ResourcesConfig(slurm=options), tmp_path)
