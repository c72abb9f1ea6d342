import time

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mtlbench.bench.counters import (
    Memory,
    Operations,
    host_waits,
    own_clock,
    peak_bytes,
    saved_bytes,
)

CPU = torch.device("cpu")


def counted(work):
    with Operations() as operations:
        work()
    return operations


def test_views_and_allocations_are_no_kernels():
    x = torch.ones(4, 6)
    assert counted(lambda: x.view(6, 4).t()[1:].unsqueeze(0).expand(3, -1, -1)).kernels == 0
    assert counted(lambda: (torch.empty(3), torch.empty_like(x), x.new_empty(2))).kernels == 0
    assert counted(lambda: (x + 1).mul_(2).sum()).kernels == 3


def test_fake_tensors_count_as_real_ones_do():
    def work():
        return torch.ones(4, 6).relu() @ torch.ones(6, 4)

    with FakeTensorMode():
        fake = counted(work)
    assert fake.kernels == counted(work).kernels == 4


def test_the_backward_pass_counts():
    x, gradient = torch.ones(3, requires_grad=True), torch.ones(3)
    assert counted(lambda: torch.autograd.backward(x.exp(), gradient)).kernels == 2


WAITING = {
    "item": lambda x: x[0].item(),
    "bool": lambda x: bool(x[0] > 0),
    "nonzero": lambda x: x.nonzero(),
    "boolean index": lambda x: x[x > 0],
    "boolean copy": lambda x: x.index_put((x > 0,), torch.tensor(0)),
    "boolean assignment": lambda x: x.clone().index_put_((x > 0,), torch.tensor(0)),
    "masked_select": lambda x: x.masked_select(x > 0),
    "unique": lambda x: x.unique(),
    "bincount": lambda x: x.bincount(),
    "equal": lambda x: torch.equal(x, x),
}
NOT_WAITING = {
    "integer index": lambda x: x[torch.tensor([1, 0])],
    "slice": lambda x: x[1:],
    "where": lambda x: torch.where(x > 0, x, -x),
    "arithmetic": lambda x: (x * 2).sum().clamp(min=1),
}


@pytest.mark.parametrize("name", WAITING)
def test_where_a_value_or_a_shape_is_needed_the_host_waits(name):
    assert counted(lambda: WAITING[name](torch.arange(4))).waits == 1


@pytest.mark.parametrize("name", NOT_WAITING)
def test_elsewhere_it_does_not(name):
    assert counted(lambda: NOT_WAITING[name](torch.arange(4))).waits == 0


def test_host_waits_are_read_as_they_come():
    x = torch.arange(4)
    with host_waits(CPU) as read:
        before = read()
        x[0].item()
        assert read() - before == 1
        x[0].item()
        assert read() - before == 2


def test_on_a_cpu_waiting_takes_no_time_of_its_own():
    read = own_clock(CPU)
    began = read()
    time.sleep(0.3)
    assert read() - began < 0.15
    while read() - began < 0.2:  # work does
        pass


def test_the_peak_is_what_is_alive_at_a_time():
    x = torch.ones(1000)

    def chain():
        for _ in range(5):
            y = x * 2  # the one before is still held while the next is made
        return y.sum()

    assert peak_bytes(chain, CPU) == 2 * 4000
    assert peak_bytes(lambda: [x * 2 for _ in range(5)], CPU) == 5 * 4000
    assert peak_bytes(lambda: x.mul_(1).view(10, 100), CPU) == 0


def test_what_is_freed_is_no_longer_alive():
    memory = Memory()
    with memory:
        y = torch.ones(1000) + torch.ones(1000)
        assert memory.alive == 4000
        del y
        assert memory.alive == 0
    assert memory.peak == 3 * 4000


def test_saved_are_inputs_and_results_but_not_the_weights():
    model, x = nn.Linear(50, 20), torch.ones(10, 50)
    # the weight gradient needs x, relu's gradient its result
    assert saved_bytes(lambda: model(x).relu(), model) == 4 * (10 * 50 + 10 * 20)
    with torch.no_grad():
        assert saved_bytes(lambda: model(x).relu(), model) == 0
