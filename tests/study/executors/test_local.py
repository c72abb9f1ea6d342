import os
import signal

import pytest

from mtlbench.config import ResourcesConfig
from mtlbench.records import RunFolder
from mtlbench.study.executors.local import LocalExecutor


@pytest.fixture
def executor(tmp_path):
    executor = LocalExecutor([("cpu",)], ResourcesConfig(), tmp_path)
    yield executor
    executor.close()


@pytest.mark.parametrize(("number", "excused"), [(signal.SIGTERM, True), (signal.SIGKILL, False)])
def test_a_worker_that_is_asked_to_end_is_excused_and_its_run_goes_on(
    runs, tools, executor, tmp_path, number, excused
):
    task = runs.task(tmp_path, epochs=tools.LONG)
    executor.submit(task)
    os.kill(tools.until_computing(task.folder), number)
    (ended,) = tools.until_ended(executor)
    assert (ended.run, ended.excused) == (task.folder.name, excused)
    assert (task.folder / "checkpoints.json").exists() == excused
    assert RunFolder(task.folder).state() == "interrupted"
    executor.submit(runs.task(tmp_path, 1))
    assert tools.until_ended(executor)[0].reason is None
