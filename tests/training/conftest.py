from pathlib import Path

import pytest
import torch

from mtlbench.bench.counters import Operations
from mtlbench.config import DataConfig
from mtlbench.data.prepare import prepare
from mtlbench.data.resident import Cohort
from mtlbench.data.split import split_cases

TINY = DataConfig(size=(32, 24), patients=16, difficulty="easy")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    return prepare("phantom", Path(), TINY, tmp_path_factory.mktemp("data") / "prepared")


@pytest.fixture(scope="session")
def cases(prepared):
    return split_cases(prepared.cases, TINY)


@pytest.fixture(scope="session")
def cohort(prepared, cases):
    torch.set_num_threads(1)
    return Cohort(prepared, cases["split"], torch.device("cpu"))


class Dispatched(Operations):
    """The bench's own counts of operations and host waits, and the largest tensor of floats made.

    In the backward pass too.
    """

    def __init__(self):
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = super().__torch_dispatch__(func, types, args, kwargs)
        if isinstance(out, torch.Tensor) and out.is_floating_point():
            values = out.untyped_storage().nbytes() // out.element_size()
            self.largest = max(self.largest, values)
        return out


@pytest.fixture
def dispatched():
    return Dispatched()
