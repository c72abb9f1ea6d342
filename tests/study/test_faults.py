"""Faults inside a run, by `execute` on the tiny study."""

import errno
import itertools
import os
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mtlbench.config import ResourcesConfig, load_study
from mtlbench.errors import DiskError
from mtlbench.records import RunFolder, read_json
from mtlbench.study.cells import expand
from mtlbench.study.data import load_data
from mtlbench.study.design import build_design
from mtlbench.study.retry import given_up
from mtlbench.training import loop
from mtlbench.training.contact import ask_to_stop
from mtlbench.training.run import Task, execute
from mtlbench.training.state import DivergedError
from mtlbench.training.tasks import Tasks


@pytest.fixture
def task_of(study_file, tmp_path):
    """Make the task of an arm's first run, in a folder of that name."""

    def make(arm="joint", folder="run", resources=None):
        study = load_study(study_file(("epochs = 2", "epochs = 3")))
        data = load_data(study, {})
        data.cases.to_csv(tmp_path / "cases.csv", index=False)
        design = build_design(study, expand(study), data)
        config = next(r.run.config for r in design.rows if r.cell and r.cell.arm == arm)
        return Task(
            folder=tmp_path / folder,
            prepared=data.prepared.root,
            cases=tmp_path / "cases.csv",
            config=config,
            devices=("cpu",),
            resources=resources or ResourcesConfig(),
        )

    return make


def losses_that(fail):
    """Tasks.losses that lets `fail(call, batch, losses)` meddle; calls are numbered from 1."""
    true, calls = Tasks.losses, itertools.count(1)

    def losses(self, model, batch, *ranks):
        return fail(next(calls), batch, true(self, model, batch, *ranks))

    return losses


def test_out_of_memory_says_what_would_fit(task_of, monkeypatch):
    def fail(call, batch, losses):
        if len(batch.case_B) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return losses

    task = task_of()
    monkeypatch.setattr(Tasks, "losses", losses_that(fail))
    with pytest.raises(torch.OutOfMemoryError):
        execute(task)
    record = RunFolder(task.folder).record()
    assert record["state"] == "failed"
    assert record["error"].startswith(
        "out of memory: optim.batch_size 8 does not fit, 2 would, and so would optim.accumulate = 4"
    )
    assert not given_up(record, retries=1)
    more = {**task.config, "optim": {**task.config["optim"], "accumulate": 4}}
    execute(replace(task, folder=task.folder.with_name("parts"), config=more))


def test_out_of_memory_even_with_one_case(task_of, monkeypatch):
    def fail(call, batch, losses):
        raise MemoryError

    task = task_of()
    monkeypatch.setattr(Tasks, "losses", losses_that(fail))
    with pytest.raises(MemoryError):
        execute(task)
    assert "not even one case does" in RunFolder(task.folder).record()["error"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("term", [0, 1, 2])
@pytest.mark.parametrize("step", [1, 8, 14, 15, 20, 21])
def test_a_loss_that_is_not_finite_fails_the_run_and_keeps_the_last_good_weights(
    task_of, monkeypatch, step, term, value, weights_at
):
    def fail(call, batch, losses):
        bad = list(losses)
        if call == step:
            bad[term] = bad[term] * value
        return tuple(bad)

    task = task_of()
    monkeypatch.setattr(Tasks, "losses", losses_that(fail))
    with pytest.raises(DivergedError, match="must stay finite"):
        execute(task)
    record = RunFolder(task.folder).record()
    assert record["state"] == "failed"
    assert given_up(record, retries=9)
    kept = load_file(task.folder / "model.safetensors")
    good = weights_at((step - 1) // 7 * 7)
    assert all(torch.equal(kept[name], good[name]) for name in good)


@pytest.fixture
def weights_at(task_of, monkeypatch):
    """Give an undisturbed run's weights after some steps (of 7 an epoch); it is run once."""

    def note(self):
        copy = original(self)
        UNDISTURBED[self.step] = copy
        return copy

    def at(step):
        if not UNDISTURBED:
            with monkeypatch.context() as patch:
                patch.setattr(loop.TrainingState, "_copy", note)
                patch.setattr(Tasks, "losses", TRUE_LOSSES)
                execute(task_of(folder="undisturbed"))
        return UNDISTURBED[step]

    original = loop.TrainingState._copy
    return at


TRUE_LOSSES = Tasks.losses
UNDISTURBED: dict[int, dict[str, torch.Tensor]] = {}


def test_a_run_that_is_no_longer_needed_ends_as_pruned(task_of, monkeypatch):
    task = task_of()
    task.folder.mkdir()
    ask_to_stop(task.folder)
    execute(task)
    record = RunFolder(task.folder).record()
    assert record["state"] == "pruned"
    assert set(record["validation"]) == {"auc", "dice", "dice_lesions", "dice_any"}
    assert not (task.folder / "predictions.csv").exists()
    assert not list(task.folder.glob("checkpoint*"))
    execute(task)
    assert RunFolder(task.folder).record()["attempts"] == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_fault_at_any_write_is_loud_and_the_run_goes_on_after_it(
    task_of, monkeypatch, number
):
    """Fail the n-th fsync for every n, as a full disk does at the latest there."""
    task = task_of(resources=ResourcesConfig(checkpoint_steps=5))
    execute(task_of(folder="undisturbed"))
    true = os.fsync
    for n in itertools.count(1):
        calls = itertools.count(1)

        def fsync(handle, n=n, calls=calls):
            if next(calls) >= n:
                raise OSError(number, os.strerror(number))
            true(handle)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            with suppress(OSError):
                execute(task)
        assert_whole(task.folder)
        if RunFolder(task.folder).state() == "complete":
            break
    for name in ("predictions.csv", "history.csv", "model.safetensors"):
        expected = (task.folder.parent / "undisturbed" / name).read_bytes()
        assert (task.folder / name).read_bytes() == expected


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KB, which a run overfills."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_run_that_fills_the_disk_goes_on_once_there_is_room(task_of, small_disk):
    task = task_of(resources=ResourcesConfig(checkpoint_steps=5))
    execute(replace(task, folder=task.folder.with_name("undisturbed")))
    task = replace(task, folder=small_disk / "run")
    with pytest.raises(DiskError, match=r"run must be writable, but: No space left on device"):
        execute(task)
    record = RunFolder(task.folder).record()
    assert (record["state"], record["failures"]) == ("running", 0)
    assert_whole(task.folder)
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    execute(task)
    for name in ("predictions.csv", "history.csv", "model.safetensors"):
        expected = (small_disk.parent / "undisturbed" / name).read_bytes()
        assert (task.folder / name).read_bytes() == expected


def assert_whole(folder: Path) -> None:
    """What is there can be read: no half-written file under a real name."""
    for path in folder.glob("*.json"):
        read_json(path)
    for path in folder.glob("*.safetensors"):
        load_file(path)
    for path in folder.glob("*.csv"):
        assert path.read_text().endswith("\n")
