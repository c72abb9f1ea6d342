import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mtlbench.config import ResourcesConfig
from mtlbench.records import RunFolder
from mtlbench.study.executors import Kind
from mtlbench.study.executors.local import LocalExecutor
from mtlbench.study.watch import Watch


@pytest.fixture
def executor(tmp_path):
    executor = LocalExecutor([("cpu",)], ResourcesConfig(), tmp_path)
    yield executor
    executor.close()


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGTERM, Kind.ASKED), (signal.SIGKILL, Kind.DIED)]
)
def test_a_worker_that_is_asked_to_end_is_excused_and_its_run_goes_on(
    runs, tools, executor, tmp_path, number, kind
):
    task = runs.task(tmp_path, epochs=tools.LONG)
    executor.submit(task)
    os.kill(tools.until_computing(task.folder), number)
    (ended,) = tools.until_ended(executor)
    assert (ended.run, ended.kind) == (task.folder.name, kind)
    assert (task.folder / "checkpoints.json").exists() == (kind == Kind.ASKED)
    assert RunFolder(task.folder).state() == "interrupted"
    executor.submit(runs.task(tmp_path, 1))
    assert tools.until_ended(executor)[0].reason is None


def stop_while_importing(tools, driver):
    """Stop the worker below a process as soon as it begins to import torch; give it."""

    def worker():
        return [pid for pid in tools.descendants(driver) if b"spawn_main" in _of(pid, "cmdline")]

    tools.wait_for(worker)
    (pid,) = worker()
    while b"libtorch" not in _of(pid, "maps"):
        time.sleep(0.005)
    os.kill(pid, signal.SIGSTOP)
    return pid


def _of(pid, name):
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def test_a_worker_that_hangs_while_it_imports_is_silent_and_replaced(runs, tools, tmp_path):
    task = runs.task(tmp_path)
    executor, watch = LocalExecutor([("cpu",)], ResourcesConfig(), tmp_path), Watch(task.folder)

    def silent():
        assert executor.wait(0.1) == []
        return watch.silent_s() > 3

    try:
        watch.begin()
        executor.submit(task)
        stopped = stop_while_importing(tools, os.getpid())
        tools.wait_for(silent)
        executor.kill(task.folder.name)
        assert tools.until_ended(executor)[0].reason == "its worker ended with code -9"
        assert not tools.alive({stopped})
        executor.submit(task)
        assert tools.until_ended(executor)[0].reason is None
        assert RunFolder(task.folder).record()["attempts"] == 1
    finally:
        executor.close()


def test_a_worker_that_imports_gives_signs_of_life(runs, tools, tmp_path):
    """They are more than the one of its being handed the run."""
    task = runs.task(tmp_path)
    executor = LocalExecutor([("cpu",)], ResourcesConfig(), tmp_path)
    try:
        executor.submit(task)
        heartbeat = task.folder / "heartbeat"
        os.utime(heartbeat, times=(0, 0))
        tools.wait_for(lambda: executor.wait(0.1) == [] and heartbeat.stat().st_mtime > 0)
        assert not (task.folder / "record.json").exists(), "it is before the run begins"
    finally:
        executor.close()


def test_a_worker_that_imports_ends_with_its_driver(runs, tools, tmp_path, start_driver):
    driver = start_driver("local", tmp_path, runs.task(tmp_path))
    stopped = stop_while_importing(tools, driver.pid)
    driver.kill()
    tools.wait_for(lambda: not tools.alive({stopped}))


def test_a_worker_does_not_import_the_main_module(tools, tmp_path):
    """Which may take long, and comes before all that could bind it to its driver."""
    script, log = tmp_path / "script.py", tmp_path / "log"
    script.write_text(
        "import os\n"
        "from mtlbench.config import ResourcesConfig\n"
        "from mtlbench.study.executors.local import LocalExecutor\n"
        "print('imported by', os.getpid(), flush=True)\n"
        "if __name__ == '__main__':\n"
        "    executor = LocalExecutor([('cpu',)], ResourcesConfig(), None)\n"
        "    executor._workers[0].process.join(60)\n"
    )
    with log.open("w") as stream:
        driver = subprocess.Popen([sys.executable, script], stdout=stream)
    try:
        os.kill(stop_while_importing(tools, driver.pid), signal.SIGKILL)
    finally:
        driver.kill()
        driver.wait()
    assert log.read_text() == f"imported by {driver.pid}\n"
