import pytest
import torch

from mtlbench.bench.train.setting import Metered, Setting, stand_in

CPU = torch.device("cpu")
SIZE = (48, 36)
BATCH, STEPS = 2, 4


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    return stand_in(tmp_path_factory.mktemp("stand-in"), SIZE, BATCH * 14)


@pytest.fixture
def cohort(prepared):
    return Metered(prepared, CPU, BATCH, STEPS)


@pytest.fixture(scope="session")
def setting():
    return Setting(CPU, "small", 8, SIZE, BATCH)
