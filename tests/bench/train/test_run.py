"""The whole bench, small."""

from pathlib import Path

import pytest
import torch

from mtlbench.bench import train
from mtlbench.bench.measure import Row
from mtlbench.bench.train import compiling, evaluation, gather, loop
from mtlbench.bench.train.setting import Setting
from mtlbench.errors import StudyError


@pytest.fixture
def small(monkeypatch):
    for module, sizes in {
        loop: {"STEPS": 4, "ROUNDS": 1},
        evaluation: {"EPOCHS": 2},
        Setting: {"rounds": 1},
        gather: {"PAPER_SIZE": (48, 36), "CASES": 8, "BATCH": 4, "ROUNDS": 1, "PEERS": {}},
    }.items():
        for name, value in sizes.items():
            monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(compiling, "_seconds", lambda command, env: 1.0)


def test_rows_of_a_real_step_carry_the_networks_name(small, tmp_path):
    trace = tmp_path / "steps.json"
    result = train.run("cpu", "small", 8, (48, 36), 2, trace=trace)
    assert trace.stat().st_size > 0
    ids = [row.id for row in result.rows]
    assert len(set(ids)) == len(ids)
    assert {"loop_time", "loop_ops", "loop_syncs", "compile_again"} <= set(ids)
    assert {"speed_small", "forward_ms_small", "mfu_small", "peak_mb_small"} <= set(ids)
    assert {"validation_share_small", "outputs_forward_small"} <= set(ids)
    assert result.noise == max(row.noise for row in result.rows if row.noise is not None) > 0
    assert result.facts["settings"] == ["small, stride 8, 48 x 36, batch 2, float32"]
    assert result.facts["threads"] >= 1


def test_a_part_that_fails_costs_its_own_rows(monkeypatch, capsys):
    def crash(*arguments):
        raise OSError("the disk is full")

    for name in ("gather_rows", "compile_rows", "network_rows"):
        monkeypatch.setattr(train, name, lambda *_, name=name: [Row(name, "", 1.0, "s", None)])
    monkeypatch.setattr(train, "loop_rows", crash)
    monkeypatch.setattr(train, "stand_in", crash)
    result = train.run("cpu", peers=True)
    assert [row.id for row in result.rows] == ["gather_rows", "compile_rows", "network_rows"]
    told = capsys.readouterr().err
    assert told == "".join(
        f"{name} is not measured: OSError: the disk is full\n" for name in ("loop", "steps")
    )


def test_what_fails_of_a_network_costs_its_own_rows(monkeypatch, capsys, setting, prepared):
    def crash(*arguments):
        raise torch.OutOfMemoryError("too much")

    for name in ("speed_rows", "evaluation_rows"):
        monkeypatch.setattr(train, name, lambda *_, name=name: [Row(name, "", 1.0, "s", None)])
    monkeypatch.setattr(train, "step_rows", crash)
    rows = train._rows_of(setting, prepared, {"speed", "step", "evaluation"})
    assert [row.id for row in rows] == ["speed_rows_small", "evaluation_rows_small"]
    assert capsys.readouterr().err == "step is not measured: OutOfMemoryError: too much\n"


def test_only_the_wanted_parts_are_measured(small):
    result = train.run("cpu", "small", 8, (48, 36), 2, only=["step"])
    assert {row.id.removesuffix("_small") for row in result.rows} == {
        "data_ms", "augmentation_ms", "forward_ms", "tail_ms", "backward_ms", "optimiser_ms",
        "data_share", "peak_mb", "saved_mb", "step_ops", "step_syncs",
    }  # fmt: skip


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
        ({"size": (96, 64)}, "--size: .* width must be at least 0.7 of the height, .* 96 x 64"),
        ({"size": (32, 24)}, "--size must be higher than the output stride of 32, but got 32x24"),
        ({"only": ["step", "system"]}, "--part system needs --peers"),
        ({"only": ["loop", "peers"]}, "--part must be one of loop, .* but got 'peers'"),
        ({"trace": Path("no/such/steps.json")}, "--trace must be a file in a folder .* no/such"),
        ({"trace": Path()}, "--trace must be a file in a folder that exists, but got \\."),
        ({"device": "meta"}, "--device must be auto, cpu, cuda or cuda:N"),
    ],
)
def test_faults_are_told_before_anything_is_measured(options, fault):
    with pytest.raises(StudyError, match=fault):
        train.run(**options)
