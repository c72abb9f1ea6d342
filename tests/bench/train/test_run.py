"""The whole bench, small."""

import pytest
import torch

from mtlbench.bench import train
from mtlbench.bench.train import compiling, gather, loop
from mtlbench.errors import StudyError


@pytest.fixture
def small(monkeypatch):
    for module, sizes in {
        loop: {"STEPS": 4, "ROUNDS": 1},
        gather: {"PAPER_SIZE": (48, 36), "CASES": 8, "BATCH": 4, "ROUNDS": 1, "PEERS": {}},
    }.items():
        for name, value in sizes.items():
            monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(compiling, "_seconds", lambda command, env: 1.0)


def test_rows_of_a_real_step_carry_the_networks_name(small):
    result = train.run("cpu", "small", 8, (48, 36), 2)
    ids = [row.id for row in result.rows]
    assert len(set(ids)) == len(ids)
    assert {"loop_time", "loop_ops", "loop_syncs", "compile_again"} <= set(ids)
    assert {"speed_small", "forward_ms_small", "mfu_small", "peak_mb_small"} <= set(ids)
    assert result.facts["settings"] == ["small, stride 8, 48 x 36, batch 2, float32"]
    assert result.facts["threads"] >= 1


def test_ids_that_others_rely_on():
    assert {f"gather_{name}" for name in gather.PEERS} == {
        "gather_png",
        "gather_monai",
        "gather_b2nd",
    }


def test_by_default_a_gpu_takes_the_papers_setting():
    settings = train._settings(torch.device("cuda"), None, 32, None, None)
    assert [setting.backbone for setting in settings] == ["resnet18", "resnet50"]
    assert {(setting.size, setting.batch_size) for setting in settings} == {((1152, 832), 16)}


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"backbone": "resnet19"}, "--backbone must be one of small, .* but got 'resnet19'"),
        ({"output_stride": 7}, "--output-stride must be one of .* but got 7"),
        ({"device": "abacus"}, "--device must be auto, cpu, cuda or cuda:N"),
    ],
)
def test_faults_are_told_before_anything_is_measured(options, fault):
    with pytest.raises(StudyError, match=fault):
        train.run(**options)
