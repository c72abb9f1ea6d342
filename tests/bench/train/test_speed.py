import time

import pytest
import torch

from mtlbench.bench.train import speed
from mtlbench.bench.train.roofline import Limit, Peaks
from mtlbench.bench.train.setting import Setting
from mtlbench.bench.train.speed import cost_of_repeating, image_s, speed_rows

GPU = torch.device("cuda")


def test_seconds_of_an_image_are_those_of_the_loop(setting, cohort):
    began = time.perf_counter()
    seconds = image_s(setting, cohort)
    whole_s = time.perf_counter() - began
    assert 0 < seconds < whole_s / ((len(cohort) - 2) * setting.batch_size)


def test_repeating_is_measured_in_turn_with_not_repeating(monkeypatch, setting, cohort):
    asked = []

    def step(setting, cohort, *, repeat):
        asked.append(repeat)
        return 3.0 if repeat else 2.0

    monkeypatch.setattr(speed, "image_s", step)
    assert cost_of_repeating(setting, cohort) == (1.5, 0.0)
    assert asked == [False, True, False] * (1 + setting.rounds)
    assert setting.rounds >= 7


def test_parts_of_the_limit(monkeypatch, setting, cohort):
    peaks = Peaks(1e12, 1e9, "made up")
    monkeypatch.setattr(speed, "_limit", lambda setting: (peaks, Limit(2e9, 0.01, 0.005)))
    rows = {row.id: row.value for row in speed._limit_rows(setting, 50.0)}
    assert rows == pytest.approx({"limit_eager": 50, "limit_compiled": 25, "mfu": 10})


def test_on_a_cpu_nothing_is_compiled_and_no_bar_applies(setting, cohort):
    rows = {row.id: row for row in speed_rows(setting, cohort)}
    assert rows["speed"].value == rows["speed_eager"].value > 0
    assert [rows[key].value for key in ("speed_graphs", "deterministic")] == [None] * 2
    assert rows["speed"].bar is None
    assert 0 < rows["limit_compiled"].value <= rows["limit_eager"].value


@pytest.mark.parametrize(
    ("name", "backbone", "batch", "bar"),
    [
        ("NVIDIA H100 80GB HBM3", "resnet18", 16, 880),
        ("NVIDIA H100 80GB HBM3", "resnet50", 16, 245),
        ("NVIDIA H100 80GB HBM3", "resnet50", 8, None),
        ("NVIDIA H100 80GB HBM3", "resnet34", 16, None),
        ("NVIDIA H100 PCIe", "resnet18", 16, None),
        ("NVIDIA GH200 480GB", "resnet18", 16, None),
    ],
)
def test_bars_are_of_an_h100_in_the_papers_setting(monkeypatch, name, backbone, batch, bar):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert speed._bar(Setting(GPU, backbone, 32, (1152, 832), batch)) == bar


def test_a_speed_that_fails_leaves_its_rows_empty(monkeypatch, setting, cohort, capsys):
    def crash(*arguments, **options):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(speed, "image_s", crash)
    rows = {row.id: row.value for row in speed_rows(setting, cohort)}
    assert set(rows.values()) == {None}
    assert "speed_eager is not measured: RuntimeError: no compiler" in capsys.readouterr().err
