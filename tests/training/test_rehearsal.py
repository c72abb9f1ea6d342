import pytest
import torch

from mtlbench.training import rehearsal
from mtlbench.training.rehearsal import largest_batch, step_s

CPU = torch.device("cpu")
CONFIG = {
    "threads": 1,
    "model": {"backbone": "small", "output_stride": 8},
    "loss": {},
    "stages": [{"cls_weight": 0.5, "seg_weight": 0.5}],
}


@pytest.fixture
def room_for(monkeypatch):
    """Have a device with room for so many cases; give what is tried on it."""

    def make(room):
        tried = []

        def step(config, size, cases, device):
            tried.append(cases)
            if cases > room:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return cases / 100

        monkeypatch.setattr(rehearsal, "step_s", step)
        return tried

    return make


@pytest.mark.parametrize(
    ("room", "limit", "found"),
    [(40, 1000, 32), (32, 1000, 32), (31, 1000, 16), (40, 20, 16), (40, 1, 1), (0, 8, None)],
)
def test_the_largest_power_of_two_that_fits(room_for, room, limit, found):
    tried = room_for(room)
    expected = None if found is None else (found, found / 100)
    assert largest_batch(CONFIG, (32, 24), limit, CPU) == expected
    assert max(tried) <= limit
    assert len(set(tried)) == len(tried)


def test_below_one_case_nothing_is_tried(room_for):
    assert room_for(9) == []
    assert largest_batch(CONFIG, (32, 24), 0, CPU) is None


def test_a_step_is_that_of_the_runs_last_stage(monkeypatch):
    taken = []
    monkeypatch.setattr(rehearsal, "take_step", lambda net, tasks, *_: taken.append(tasks))
    step_s(CONFIG | {"loss": {"target_stride": 8}}, (32, 24), 2, CPU)
    weights = {(tasks.cls_weight, tasks.seg_weight, tasks.target_stride) for tasks in taken}
    assert weights == {(0.5, 0.5, 8)}


def test_another_fault_is_not_taken_for_a_lack_of_memory(monkeypatch):
    def step(*_):
        raise RuntimeError("cuDNN error")

    monkeypatch.setattr(rehearsal, "step_s", step)
    with pytest.raises(RuntimeError, match="cuDNN"):
        largest_batch(CONFIG, (32, 24), 8, CPU)


def test_a_step_of_more_cases_takes_longer():
    few, many = (min(step_s(CONFIG, (64, 48), n, CPU) for _ in range(3)) for n in (1, 32))
    assert 0 < few < many


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("CUDA error: out of memory"), False),
    ],
)
def test_what_running_out_of_memory_looks_like(error, is_it):
    assert rehearsal.is_out_of_memory(error) is is_it
