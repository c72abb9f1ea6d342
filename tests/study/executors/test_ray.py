import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from mtlbench.config import ResourcesConfig
from mtlbench.errors import StudyError
from mtlbench.records import RunFolder
from mtlbench.study.executors import EXECUTORS

if find_spec("ray") is None:
    pytest.skip("Ray is an extra", allow_module_level=True)
from mtlbench.study.executors import ray as ray_module
from mtlbench.study.executors.ray import PREFIX
from mtlbench.study.executors.temporary import guarded_folder


def folders(pids):
    """The temporary folders that these processes have been told of."""
    named = (re.findall(r"/[^\0=]*/mtlbench-ray\.\w+", _command(pid)) for pid in pids)
    return {Path(name) for names in named for name in names}


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@pytest.fixture(scope="module")
def executor(tmp_path_factory):
    places = [("cpu",), ("cpu",)]
    handler = signal.getsignal(signal.SIGTERM)
    executor = EXECUTORS["ray"](places, ResourcesConfig(), tmp_path_factory.mktemp("ray"))
    assert signal.getsignal(signal.SIGTERM) is handler, "the driver's, not Ray's"
    yield executor
    executor.close()


def test_nothing_is_left_of_a_killed_driver_and_the_next_goes_on(
    runs, tools, tmp_path, start_driver, request
):
    task = runs.task(tmp_path, epochs=tools.LONG)
    driver = start_driver("ray", tmp_path, task)
    worker = tools.until_computing(task.folder)
    there = tools.descendants(driver.pid)
    assert worker in there
    assert len(there) > 5, "Ray's own processes are among them"
    (temporary,) = folders(there)
    assert temporary.stat().st_mode & 0o077 == 0
    driver.kill()
    tools.wait_for(lambda: not tools.alive(there))
    tools.wait_for(lambda: not temporary.exists())
    executor = request.getfixturevalue("executor")
    executor.submit(runs.task(tmp_path))
    assert tools.until_ended(executor)[0].reason is None
    assert RunFolder(task.folder).record()["attempts"] == 2


def test_what_was_left_of_a_driver_that_was_killed_with_its_guard_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, other = tmp_path / f"{PREFIX}0a1b2c3d", tmp_path / "other"
    for folder in (left, other):
        (folder / "ray").mkdir(parents=True)
    with guarded_folder(PREFIX) as first:
        assert not left.exists()
        with guarded_folder(PREFIX) as second:
            assert first.is_dir(), "it is in use"
            assert first != second
            assert {path.name for path in tmp_path.iterdir()} == {first.name, second.name, "other"}
    assert list(tmp_path.iterdir()) == [other]


def test_a_temporary_folder_with_a_long_path_is_one_line(tmp_path):
    long = tmp_path / ("x" * 60)
    long.mkdir()
    code = "from mtlbench.study.executors import EXECUTORS; from mtlbench.config import *; "
    code += "EXECUTORS['ray']([('cpu',)], ResourcesConfig(), None)"
    environment = os.environ | {"TMPDIR": str(long)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert f"StudyError: TMPDIR must be a folder with a short path, but got {long}: " in last
    assert list(long.iterdir()) == []


def test_runs_are_those_of_the_local_executor_to_the_byte(
    runs, tools, expected, executor, tmp_path
):
    for index in range(2):
        executor.submit(runs.task(tmp_path, index))
    assert {ended.reason for ended in tools.until_ended(executor, 2)} == {None}
    found = tools.outcome(tmp_path)
    assert len(found) == 8
    assert found.items() <= expected.items()


def test_a_run_that_raises_says_why_and_the_next_is_done(runs, tools, executor, tmp_path):
    broken = runs.broken(tmp_path)
    executor.submit(broken)
    (ended,) = tools.until_ended(executor)
    assert ended.run == broken.folder.name
    assert ended.reason.startswith("FileNotFoundError")
    assert RunFolder(broken.folder).state() == "failed"
    executor.submit(runs.task(tmp_path, 2))
    assert tools.until_ended(executor)[0].reason is None


@pytest.mark.parametrize("whom", ["worker", "actor"])
def test_a_worker_or_actor_that_dies_is_replaced(runs, tools, executor, tmp_path, whom):
    task = runs.task(tmp_path, epochs=tools.LONG)
    executor.submit(task)
    worker = tools.until_computing(task.folder)
    actor = tools.parent(worker)
    os.kill(worker if whom == "worker" else actor, signal.SIGKILL)
    (ended,) = tools.until_ended(executor)
    assert ("code -9" if whom == "worker" else "actor") in ended.reason
    tools.wait_for(lambda: not tools.alive({worker}))
    executor.submit(runs.task(tmp_path))
    assert tools.until_ended(executor)[0].reason is None


@pytest.mark.parametrize("whom", ["worker", "actor"])
def test_what_hangs_is_killed_with_its_children(runs, tools, executor, tmp_path, monkeypatch, whom):
    monkeypatch.setattr(ray_module, "ANSWER_S", 1.0)
    task = runs.task(tmp_path, epochs=tools.LONG)
    executor.submit(task)
    worker = tools.until_computing(task.folder)
    stopped = {worker} if whom == "worker" else {worker, tools.parent(worker)}
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    executor.kill(task.folder.name)
    assert tools.until_ended(executor)[0].reason
    tools.wait_for(lambda: not tools.alive(stopped))


def test_a_driver_ends_its_actors_on_a_cluster_that_it_has_not_started(
    runs, tools, expected, tmp_path, start_driver
):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    temporary = tempfile.mkdtemp(prefix="ray-")  # a socket's path must be short
    command = ["--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port}"]
    command += ["--include-dashboard=false", "--num-cpus=1", f"--temp-dir={temporary}"]
    with (tmp_path / "head.log").open("w") as log:
        head = subprocess.Popen(
            [Path(sys.executable).with_name("ray"), "start", *command], stdout=log, stderr=log
        )
    try:
        log = tmp_path / "head.log"
        tools.wait_for(lambda: "--block" in log.read_text())
        address = {"RAY_ADDRESS": f"127.0.0.1:{port}"}
        task = runs.task(tmp_path, epochs=tools.LONG)
        driver = start_driver("ray", tmp_path, task, **address)
        worker = tools.until_computing(task.folder)
        actor = tools.parent(worker)
        assert not tools.descendants(driver.pid)
        driver.kill()
        tools.wait_for(lambda: not tools.alive({worker, actor}))
        start_driver("ray", tmp_path, runs.task(tmp_path), **address)
        tools.wait_for(lambda: RunFolder(task.folder).state() == "complete")
    finally:
        for pid in {head.pid, *tools.descendants(head.pid)}:
            os.kill(pid, signal.SIGKILL)
        head.wait()
        shutil.rmtree(temporary, ignore_errors=True)


def test_a_slot_s_gpu_is_the_one_that_its_actor_sees(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    with ray_module._visible([1]):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with ray_module._visible([0, 2]):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,2"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_without_the_extra_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, ray_module.__name__)
    with pytest.raises(StudyError, match=r"--executor ray needs the extra: .*mtlbench\[ray\]"):
        EXECUTORS["ray"]([("cpu",)], ResourcesConfig(), tmp_path)


def test_close_writes_a_checkpoint_and_leaves_nothing(runs, tools, executor, tmp_path):
    task = runs.task(tmp_path, epochs=tools.LONG)
    executor.submit(task)
    tools.until_computing(task.folder)
    there = tools.descendants(os.getpid())
    (temporary,) = folders(there)
    executor.close()
    assert (task.folder / "checkpoints.json").exists()
    assert RunFolder(task.folder).state() == "interrupted"
    assert not any("ray" in _command(pid) for pid in tools.alive(there))
    assert not temporary.exists()
