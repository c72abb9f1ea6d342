import time
from types import SimpleNamespace

import pytest
import torch

from mtlbench.bench.train import step
from mtlbench.bench.train.step import PARTS, Marks, megabytes, part_times, step_rows


def test_the_parts_add_up_to_the_steps(setting, cohort):
    began = time.perf_counter()
    parts = part_times(setting, cohort)
    assert list(parts) == list(PARTS)
    assert all(value >= 0 for value in parts.values())
    assert min(parts["forward"], parts["backward"]) > 0
    assert sum(parts.values()) < time.perf_counter() - began


def test_each_time_is_of_its_part(setting, cohort, monkeypatch):
    """What one part takes shows there and nowhere else, by a clock that only we put forward."""
    now, slow = [0.0], setting.model()
    monkeypatch.setattr(step, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def takes(seconds):
        return lambda *_: now.__setitem__(0, now[0] + seconds)

    class Slow(type(setting)):
        def model(self):
            return slow

        def optimizer(self, model):
            optimizer = super().optimizer(model)
            optimizer.register_step_pre_hook(takes(0.25))
            return optimizer

    slow.features.register_forward_hook(takes(0.5))
    parts = part_times(Slow(*(getattr(setting, name) for name in setting.__slots__)), cohort)
    assert parts == dict.fromkeys(PARTS, 0.0) | {"forward": 0.5, "optimiser": 0.25}


def test_on_a_gpu_nothing_waits_until_all_marks_are_set(monkeypatch):
    done = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self, stream):
            done.append(stream)
            self.ms = 100.0 * len(done) ** 2

        def elapsed_time(self, other):
            assert done[-1] == "waited"
            return other.ms - self.ms

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: device.index)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: done.append("waited"))
    marks = Marks(torch.device("cuda:3"))
    marks.set()
    marks.set()
    assert marks.between_s() == pytest.approx([0.3, 0.5])
    assert done == [3, 3, 3, "waited"]


def test_the_peak_holds_what_is_saved_and_the_gradients(setting):
    peak, saved = megabytes(setting)
    weights = sum(p.numel() for p in setting.model().parameters()) * 4 / 1e6
    assert saved > 0
    assert peak > max(saved, weights / setting.batch_size)


def test_a_part_that_fails_leaves_its_rows_empty(setting, cohort, monkeypatch, capsys):
    def crash(*arguments):
        raise torch.OutOfMemoryError("too much")

    monkeypatch.setattr(step, "part_times", crash)
    monkeypatch.setattr(step, "megabytes", crash)
    values = {row.id: row.value for row in step_rows(setting, cohort)}
    empty = {key for key, value in values.items() if value is None}
    assert empty == {f"{name}_ms" for name in PARTS} | {"data_share", "peak_mb", "saved_mb"}
    assert values["step_syncs"] == 0
    assert "memory is not measured: OutOfMemoryError: too much" in capsys.readouterr().err


def test_shares_are_of_the_whole_step():
    times = dict(zip(PARTS, (0.01, 0.03, 0.2, 0.06, 0.6, 0.1), strict=True))
    rows = {row.id: row for row in step._part_rows(times, True)}
    assert rows["data_share"].value == pytest.approx(4.0)
    assert rows["data_share"].bar == 5.0
    assert rows["backward_ms"].value == pytest.approx(600)
    assert "60.0 % of a step" in rows["backward_ms"].what
    assert step._part_rows(times, False)[-1].bar is None
