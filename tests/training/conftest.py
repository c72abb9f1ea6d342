from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

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


class Dispatched(TorchDispatchMode):
    """What torch does while this is entered, in its backward too."""

    WAIT = ("_local_scalar_dense", "nonzero", "bincount", "masked_select", "unique", "is_nonzero")
    """Operations of which a host awaits the result on CUDA; indexing by a mask is `nonzero`."""

    def __init__(self):
        super().__init__()
        self.operations, self.sizes = set(), [0]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        by_mask = name.startswith("index") and any(
            index is not None and index.dtype in (torch.bool, torch.uint8)
            for index in (args[1] if isinstance(args[1], list) else [])
        )
        self.operations.add("nonzero" if by_mask else name)
        if isinstance(out, torch.Tensor) and out.is_floating_point():
            self.sizes.append(out.untyped_storage().nbytes() // out.element_size())
        return out

    def largest(self):
        """Values of the largest tensor of floats."""
        return max(self.sizes)

    def waits(self):
        return self.operations & set(self.WAIT)


@pytest.fixture
def dispatched():
    return Dispatched()
