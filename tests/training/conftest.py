from pathlib import Path

import pytest
import torch

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
