import json
import os

import pytest
import torch

from mtlbench.config import AugmentConfig, ModelConfig, OptimConfig, ResourcesConfig
from mtlbench.models.network import build_model
from mtlbench.training import checkpoint as module
from mtlbench.training.checkpoint import INDEX, Checkpoints, Progress, Stopped, StopRequest
from mtlbench.training.loop import train
from mtlbench.training.losses import LOSSES
from mtlbench.training.strategies import Stage
from mtlbench.training.tasks import Tasks

EPOCHS = 3
EVERY_STEP = ResourcesConfig(checkpoint_steps=1)
NEVER = ResourcesConfig(checkpoint_minutes=1e6)


def train_once(cohort, select, checkpoints=None, layout=torch.contiguous_format):
    """Train a small joint stage; give weights, rows of the history, and steps."""
    model = build_model(ModelConfig(backbone="small", output_stride=8), 0)
    model = model.to(memory_format=layout)
    stage = Stage(name="joint", cls_weight=0.5, seg_weight=0.5, epochs=EPOCHS, steps=None)
    tasks = Tasks(0.5, 0.5, LOSSES["cross-entropy"], torch.ones(5))
    optim = OptimConfig(batch_size=4, lr=1e-3, select=select)
    rows = []
    done = train(
        model, cohort, stage, tasks, optim, AugmentConfig(), 0,
        rows.append, checkpoints,
    )  # fmt: skip
    return model.state_dict(), rows, done.step


class StopAfter(StopRequest):
    """Asks to stop when it has been looked at so many times: once a step."""

    def __init__(self, steps):
        self.left = steps

    @property
    def asked(self):
        return self.left <= 0


def stopped_every(cohort, select, folder, steps, layout):
    """Train, stopped after every so many steps, until it comes through; count the stops."""
    for stops in range(1000):
        stop = StopAfter(steps)
        checkpoints = Checkpoints(folder, NEVER, stop)
        due = checkpoints.due

        def count(step, due=due, stop=stop):
            stop.left -= 1
            return due(step)

        checkpoints.due = count
        try:
            return *train_once(cohort, select, checkpoints, layout), stops
        except Stopped:
            continue
    raise AssertionError("it never came through")


@pytest.mark.parametrize("select", ["last", "val.dice_any"])
@pytest.mark.parametrize(
    ("steps", "layout"),
    [
        (1, torch.contiguous_format),
        (2, torch.contiguous_format),
        (5, torch.contiguous_format),
        (5, torch.channels_last),  # as on a GPU
    ],
)
def test_a_run_stopped_anywhere_ends_with_the_same_bits(cohort, tmp_path, select, steps, layout):
    weights, rows, total = train_once(cohort, select, None, layout)
    again, rows_again, total_again, stops = stopped_every(cohort, select, tmp_path, steps, layout)
    assert stops >= total // steps - 1
    assert total_again == total
    assert rows_again == rows
    assert [name for name in weights if not torch.equal(weights[name], again[name])] == []


def progress(step):
    tensors = {"model.w": torch.full((3,), float(step)), "sums": torch.zeros(3)}
    return Progress(step, 1.5, [{"epoch": 1, "loss": 0.25}], 0.75, tensors)


def checkpoints(folder, resources=NEVER, stop=None):
    return Checkpoints(folder, resources, stop or StopRequest())


def test_the_newest_two_are_kept_and_the_newest_is_read(tmp_path):
    for step in (1, 2, 3):
        checkpoints(tmp_path).save(progress(step))
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["checkpoint-2.safetensors", "checkpoint-3.safetensors", INDEX]
    found = checkpoints(tmp_path).load(torch.device("cpu"))
    assert (found.step, found.train_s, found.best) == (3, 1.5, 0.75)
    assert found.rows == [{"epoch": 1, "loss": 0.25}]
    assert torch.equal(found.tensors["model.w"], torch.full((3,), 3.0))
    checkpoints(tmp_path).clear()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "empty"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, damage):
    for step in (1, 2):
        checkpoints(tmp_path).save(progress(step))
    for step, left in ((2, 1), (1, None)):
        path = tmp_path / f"checkpoint-{step}.safetensors"
        data = path.read_bytes()
        if damage == "flip":
            path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        elif damage == "gone":
            path.unlink()
        else:
            path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"")
        found = checkpoints(tmp_path).load(torch.device("cpu"))
        assert (found and found.step) == left


@pytest.mark.parametrize("text", ["", "{", "[]", "[1]", '[{"file": "x"}]', "null"])
def test_an_index_that_is_none_begins_anew(tmp_path, text):
    (tmp_path / INDEX).write_text(text)
    assert checkpoints(tmp_path).load(torch.device("cpu")) is None
    checkpoints(tmp_path).save(progress(4))
    assert checkpoints(tmp_path).load(torch.device("cpu")).step == 4


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_at_any_call_of_a_save_leaves_the_newest_or_the_one_before(
    tmp_path, monkeypatch, call
):
    """Each flush and each rename fails in turn, as a full disk or a kill would have it."""
    for failing in range(20):
        folder = tmp_path / str(failing)
        folder.mkdir()
        checkpoints(folder).save(progress(1))
        calls = []
        owner = os if call == "fsync" else type(folder)
        real = getattr(owner, call)

        def fail(*args, calls=calls, real=real, failing=failing):
            calls.append(1)
            if len(calls) == failing + 1:
                raise OSError(28, "No space left on device")
            return real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(owner, call, fail)
            try:
                checkpoints(folder).save(progress(2))
            except OSError:
                saved = False
            else:
                saved = True
        found = checkpoints(folder).load(torch.device("cpu"))
        assert found.step in ((2,) if saved else (1, 2))
        if saved:
            assert failing > 0
            return
    raise AssertionError("a save has fewer than 20 such calls")


def test_other_versions_begin_anew(tmp_path, monkeypatch):
    checkpoints(tmp_path).save(progress(1))
    monkeypatch.setattr(module, "version", lambda name: "0.0")
    assert checkpoints(tmp_path).load(torch.device("cpu")) is None


def test_when_one_is_due(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    by_minutes = checkpoints(tmp_path, ResourcesConfig(checkpoint_minutes=2))
    now[0] = 119
    assert not by_minutes.due(7)
    now[0] = 120
    assert by_minutes.due(8)
    by_minutes.save(progress(8))
    assert not by_minutes.due(9)
    by_steps = checkpoints(tmp_path, ResourcesConfig(checkpoint_steps=5))
    assert [step for step in range(1, 12) if by_steps.due(step)] == [5, 10]


def test_a_stop_is_raised_after_the_checkpoint_is_written(tmp_path):
    stop = StopRequest()
    ours = checkpoints(tmp_path, NEVER, stop)
    assert not ours.due(1)
    stop.asked = True
    assert ours.due(1)
    with pytest.raises(Stopped):
        ours.save(progress(1))
    assert json.loads((tmp_path / INDEX).read_text())[0]["step"] == 1
