import os

import pytest
import torch

from mtlbench.errors import StudyError
from mtlbench.study.executors import choose_devices
from mtlbench.study.executors.places import most_sharers


@pytest.fixture
def gpus(monkeypatch):
    """Let this machine have so many GPUs."""

    def have(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return have


@pytest.mark.parametrize(
    ("threads", "per_run", "jobs", "expected"),
    [(1, 1, None, 8), (3, 1, None, 2), (2, 2, None, 2), (16, 1, None, 1), (1, 1, 5, 5)],
)
def test_a_cpu_has_a_slot_for_each_run_that_its_cores_hold(
    gpus, monkeypatch, threads, per_run, jobs, expected
):
    gpus(0)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert choose_devices("auto", jobs, threads, per_run) == [("cpu",) * per_run] * expected


def test_every_gpu_is_a_slot_and_more_jobs_share_them(gpus):
    gpus(2)
    assert choose_devices("auto", None, 1) == [("cuda:0",), ("cuda:1",)]
    assert choose_devices("auto", 3, 1) == [("cuda:0",), ("cuda:1",), ("cuda:0",)]
    assert choose_devices("cuda:1", None, 1) == [("cuda:1",)]


def test_jobs_on_a_gpu_divide_its_memory():
    assert most_sharers([("cuda:0",), ("cuda:1",), ("cuda:0",)]) == 2
    assert most_sharers([("cuda:0", "cuda:1")]) == 1


def test_a_run_on_several_gpus_has_them_alone(gpus):
    gpus(5)
    pairs = [("cuda:0", "cuda:1"), ("cuda:2", "cuda:3")]
    assert choose_devices("cuda", None, 1, 2) == pairs
    with pytest.raises(StudyError, match="at most the GPUs there are, 5, but got 6"):
        choose_devices("cuda", None, 1, 6)


def test_a_device_must_exist_unless_runs_are_computed_elsewhere(gpus):
    gpus(0)
    with pytest.raises(StudyError, match="--device must be auto, cpu or one of"):
        choose_devices("cuda", None, 1)
    pair = ("cuda:0", "cuda:1")
    assert choose_devices("cuda", 3, 1, 2, elsewhere=True) == [pair] * 3
