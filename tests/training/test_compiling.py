import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from mtlbench.config import AugmentConfig, ModelConfig, OptimConfig
from mtlbench.errors import StudyError
from mtlbench.models.network import build_model
from mtlbench.training import compiling
from mtlbench.training.compiling import (
    COMPILE_S,
    SAVED,
    can_compile,
    choose_mode,
    code_folder,
    kernels_of,
    measured_once,
    use_folder,
)
from mtlbench.training.loop import train
from mtlbench.training.losses import LOSSES
from mtlbench.training.strategies import Stage
from mtlbench.training.tasks import Tasks

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def unmeasured():
    raise AssertionError("nothing need be measured")


@pytest.mark.parametrize("asked", ["off", "default", "reduce-overhead"])
@pytest.mark.parametrize("device", [CPU, CUDA])
def test_what_is_asked_for_is_done(asked, device):
    choice = choose_mode(asked, device, 1, 10, 1, unmeasured)
    assert choice == (asked, "asked for")


@pytest.mark.parametrize(("device", "ranks"), [(CPU, 1), (CPU, 2), (CUDA, 2)])
def test_auto_is_off_where_nothing_is_gained(device, ranks):
    mode, why = choose_mode("auto", device, ranks, 10**9, 1, unmeasured)
    assert mode == "off"
    assert ("CPU" in why) == (device == CPU)


@pytest.fixture
def compiler(monkeypatch):
    monkeypatch.setattr(compiling, "can_compile", lambda device: True)


@pytest.mark.parametrize("ms", [100, 14])
def test_auto_compiles_where_what_is_saved_is_more_than_compiling(compiler, ms):
    enough = COMPILE_S / (SAVED * ms / 1000)
    for steps, expected in ((int(0.99 * enough), "off"), (int(1.01 * enough), "reduce-overhead")):
        mode, why = choose_mode("auto", CUDA, 1, steps, 1, lambda: ms / 1000)
        assert mode == expected
        assert f"{steps} steps of {ms}.0 ms would save" in why


def test_cuda_graphs_are_not_for_a_batch_in_parts(compiler):
    mode, why = choose_mode("auto", CUDA, 1, 10**6, 4, lambda: 0.001)
    assert mode == "default"
    assert "1000000 steps of 4.0 ms would save 1200 s" in why
    with pytest.raises(StudyError, match=r"optim\.accumulate is above 1"):
        choose_mode("reduce-overhead", CUDA, 1, 10, 2, unmeasured)


def test_runs_of_the_same_network_and_sizes_share_their_code():
    config = {
        "model": {"backbone": "small"}, "seed": 0, "optim": {"lr": 1e-3},
        "stages": [{"cls_weight": 0.3, "seg_weight": 0.7}],
    }  # fmt: skip
    alone = {"stages": [{"cls_weight": 1.0, "seg_weight": 0.0}]}

    def folder(size=(32, 24), cases=4, **other):
        return code_folder(Path("cache"), config | other, size, cases, CPU)

    same = folder(seed=1, optim={"lr": 1.0}, stages=[{"cls_weight": 0.5, "seg_weight": 0.5}])
    assert same == folder()
    others = {folder(size=(32, 32)), folder(cases=5), folder(**alone), folder(model={})}
    assert len(others - {folder()}) == 4


def test_auto_is_off_without_a_compiler(monkeypatch):
    monkeypatch.setattr(compiling, "can_compile", lambda device: False)
    mode, why = choose_mode("auto", CUDA, 1, 10**9, 1, unmeasured)
    assert mode == "off"
    assert "triton" in why


def test_a_kernel_that_cannot_be_compiled_leaves_torchs_operations(monkeypatch):
    def fail(*arguments):
        raise RuntimeError("Python.h: no such file")

    kernels = SimpleNamespace(joint_counts=fail)
    monkeypatch.setattr(compiling, "find_spec", lambda name: "found")
    monkeypatch.setattr(compiling, "import_module", lambda name: kernels)
    monkeypatch.setattr(torch, "zeros", lambda shape, **options: None)
    unknown = torch.device("cuda", 63)  # answers are kept
    with pytest.warns(UserWarning, match=r"cuda:63.*RuntimeError: Python\.h"):
        assert not can_compile(unknown)
    assert kernels_of(unknown) is None
    kernels.joint_counts = lambda *arguments: None
    assert kernels_of(torch.device("cuda", 62)) is kernels
    assert kernels_of(CPU) is None


def test_the_first_measurement_holds_for_all_that_ask_later(tmp_path):
    folder = tmp_path / "compiled" / "kind"
    assert measured_once(folder, lambda: 0.25) == 0.25
    assert measured_once(folder, unmeasured) == 0.25

    def slower():
        assert measured_once(tmp_path / "other", lambda: 0.5) == 0.5  # another worker is first
        return 0.75

    assert measured_once(tmp_path / "other", slower) == 0.5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["compiled", "other.json"]


def test_another_kind_of_run_forgets_compiled_code(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    resets = []
    monkeypatch.setattr(torch.compiler, "reset", lambda: resets.append(1))
    for name in ("a", "a", "b", "a"):
        use_folder(tmp_path / name)
    assert len(resets) == 3


@pytest.fixture
def small_model():
    """One convolution, so that compiling takes seconds."""

    def make():
        model = build_model(ModelConfig(backbone="small", output_stride=8), 0)
        channels = model.c_net.in_features
        with torch.random.fork_rng():
            torch.manual_seed(0)
            convolution = nn.Conv2d(1, channels, 8, stride=8, bias=False)
        model.features = nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU())
        return model

    return make


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler")
def test_a_compiled_training_is_the_same_up_to_rounding(cohort, small_model, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    use_folder(tmp_path / "compiled")
    counters.clear()
    stage = Stage("joint", 0.5, 0.5, epochs=2, steps=None)
    tasks = Tasks(0.5, 0.5, LOSSES["cross-entropy"], torch.ones(5))
    states, histories = [], []
    for mode in ("off", "default"):
        model, rows = small_model(), []
        optim = OptimConfig(batch_size=4, validate_every=1)
        train(model, cohort, stage, tasks, optim, AugmentConfig(), 0, rows.append, mode=mode)
        states.append(model.state_dict())
        histories.append([[row[key] for key in ("loss", "val_loss_cls")] for row in rows])
        assert counters["stats"]["unique_graphs"] == (0 if mode == "off" else 1)
    torch.testing.assert_close(states[1], states[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(histories[1], histories[0], rtol=1e-3, atol=1e-4)
    assert any((tmp_path / "compiled").iterdir())
