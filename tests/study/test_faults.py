"""Faults inside a run, by `execute` on the tiny study."""

import errno
import io
import itertools
import os
import weakref
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
from mtlbench.training import loop, run
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


def test_out_of_memory_has_let_go_of_the_network_before_it_tries_what_fits(task_of, monkeypatch):
    """Of the batch and the graph too, also where one error has led to another."""
    held = []

    def run_out(kept):
        raise torch.OutOfMemoryError("CUDA out of memory")

    def losses(self, model, batch, *ranks):
        kept = true(self, model, batch, *ranks)
        held.extend(weakref.ref(value) for value in (model, batch.image_B1HW, *kept))
        try:
            run_out(kept)
        except torch.OutOfMemoryError as error:
            raise MemoryError from error

    def largest_batch(*_):
        assert [ref for ref in held if ref() is not None] == []
        return 4, 0.1

    true = Tasks.losses
    monkeypatch.setattr(Tasks, "losses", losses)
    monkeypatch.setattr(run, "largest_batch", largest_batch)
    task = task_of()
    with pytest.raises(MemoryError):
        execute(task)
    assert len(held) == 5
    assert "4 would" in RunFolder(task.folder).record()["error"]


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


def failing_fsync(patch, n, number):
    """Have the n-th fsync and all later ones fail."""
    true, calls = os.fsync, itertools.count(1)

    def fsync(handle):
        if next(calls) >= n:
            raise OSError(number, os.strerror(number))
        true(handle)

    patch.setattr(os, "fsync", fsync)


def failing_write(patch, n, number):
    """Have the n-th file that is written, and all later ones, find the disk full."""
    true, calls = io.open, itertools.count(1)

    def opened(file, mode="r", *arguments, **options):
        full = "w" in mode and str(file).endswith(".tmp") and next(calls) >= n
        return true("/dev/full" if full else file, mode, *arguments, **options)

    patch.setattr(io, "open", opened)


@pytest.mark.parametrize(
    ("fail", "number"),
    [
        (failing_fsync, errno.ENOSPC),
        (failing_fsync, errno.EROFS),
        (failing_fsync, errno.EACCES),
        (failing_write, errno.ENOSPC),
    ],
)
def test_a_disk_fault_at_any_write_is_loud_and_the_run_goes_on_after_it(
    task_of, monkeypatch, fail, number
):
    """A full or read-only disk is no failure of the run; a file that denies access is."""
    task = task_of(resources=ResourcesConfig(checkpoint_steps=5))
    execute(task_of(folder="undisturbed"))
    folder = RunFolder(task.folder)
    for n in itertools.count(1):
        with monkeypatch.context() as patch:
            fail(patch, n, number)
            with suppress(PermissionError if number == errno.EACCES else DiskError):
                execute(task)
        assert_whole(task.folder)
        assert number == errno.EACCES or folder.record().get("failures", 0) == 0
        if folder.state() == "complete":
            break
    assert n > 10
    for name in ("predictions.csv", "history.csv", "model.safetensors"):
        expected = (task.folder.parent / "undisturbed" / name).read_bytes()
        assert (task.folder / name).read_bytes() == expected


def test_a_run_that_fills_the_disk_goes_on_once_there_is_room(task_of, disk_of):
    disk = disk_of(256)
    task = task_of(resources=ResourcesConfig(checkpoint_steps=5))
    execute(replace(task, folder=task.folder.with_name("undisturbed")))
    task = replace(task, folder=disk / "run")
    with pytest.raises(DiskError, match=r"run must be writable, but: No space left on device"):
        execute(task)
    record = RunFolder(task.folder).record()
    assert (record["state"], record["failures"]) == ("running", 0)
    assert_whole(task.folder)
    disk_of(65536)
    execute(task)
    for name in ("predictions.csv", "history.csv", "model.safetensors"):
        expected = (disk.parent / "undisturbed" / name).read_bytes()
        assert (task.folder / name).read_bytes() == expected


def assert_whole(folder: Path) -> None:
    """What is there can be read: no half-written file under a real name."""
    for path in folder.glob("*.json"):
        read_json(path)
    for path in folder.glob("*.safetensors"):
        load_file(path)
    for path in folder.glob("*.csv"):
        assert path.read_text().endswith("\n")
