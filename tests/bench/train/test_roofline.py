import math

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from mtlbench.bench.train import roofline
from mtlbench.bench.train.roofline import Peaks, limit, peaks_of
from mtlbench.bench.train.setting import Setting

CPU = torch.device("cpu")
H100 = Peaks(790e12, 3.0e12, "")


def traced(work, flops=math.inf, bandwidth=math.inf):
    with FakeTensorMode(), roofline._Trace(Peaks(flops, bandwidth, "")) as trace:
        work()
    return trace


def by_bytes(work):
    return traced(work, bandwidth=1.0)


def test_flops_are_those_of_torchs_counter(setting):
    model = setting.model()
    with FlopCounterMode(display=False) as counter:
        cls_B, seg_BKhw = model(setting.batch().image_B1HW, classify=True, segment=True)
        torch.autograd.backward([cls_B, seg_BKhw], [cls_B, seg_BKhw])
    expected = counter.get_total_flops() / setting.batch_size
    assert limit(setting, H100).flops == expected


def test_time_is_arithmetic_or_traffic_whichever_is_longer():
    def convolve():
        F.conv2d(torch.empty(2, 3, 10, 10), torch.empty(5, 3, 1, 1))

    flops, nbytes = 2 * 2 * 3 * 5 * 100, 4 * (2 * 3 * 100 + 15 + 2 * 5 * 100)
    assert traced(convolve).flops == flops
    assert traced(convolve, flops=10.0).eager_s == flops / 10
    assert traced(convolve, bandwidth=10.0).eager_s == pytest.approx(nbytes / 10)
    assert traced(convolve, flops / 7, nbytes / 8).eager_s == pytest.approx(8)


def test_fused_a_relu_costs_nothing_and_a_sum_the_other_term():
    def relu():
        torch.empty(1000).relu()

    def add():
        torch.empty(1000) + torch.empty(1000)

    seconds = [(trace.eager_s, trace.compiled_s) for trace in map(by_bytes, (relu, add))]
    assert seconds == [(2 * 4000, 0), (3 * 4000, 4000)]


def test_batch_norm_reads_its_input_twice():
    def norm():
        F.batch_norm(torch.empty(4, 2, 50, 50), None, None, training=True)

    statistics = 2 * 2 * 4
    map_bytes = 4 * 4 * 2 * 2500
    assert by_bytes(norm).eager_s == 3 * map_bytes + statistics


@pytest.mark.parametrize(
    ("backbone", "gflop", "eager", "compiled"),
    [("resnet18", 197, 1165, 1465), ("resnet50", 458, 306, 409)],
)
def test_on_an_h100_at_the_papers_size(backbone, gflop, eager, compiled):
    """Against a count by hand, layer by layer, which has the loss tail's passes too."""

    class Gpu(Setting):
        dtype = torch.bfloat16

    most = limit(Gpu(CPU, backbone, 32, (1152, 832), 16), H100)
    assert round(most.flops / 1e9) == gflop
    assert 1 <= 1 / most.eager_s / eager <= 1.08
    assert 1 <= 1 / most.compiled_s / compiled <= 1.08


@pytest.mark.parametrize(
    ("name", "flops", "bandwidth"),
    [
        ("NVIDIA H100 80GB HBM3", 791e12, 3.0e12),
        ("NVIDIA H200", 791e12, 4.3e12),
        ("NVIDIA A100-SXM4-80GB", 250e12, 1.84e12),
        ("NVIDIA A100-SXM4-40GB", 250e12, 1.4e12),
    ],
)
def test_known_gpus(monkeypatch, name, flops, bandwidth):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    peaks = peaks_of(torch.device("cuda"), torch.bfloat16)
    assert peaks.flops == pytest.approx(flops, rel=0.01)
    assert peaks.bandwidth == pytest.approx(bandwidth, rel=0.01)


@pytest.mark.parametrize(
    "name",
    ["NVIDIA H100 PCIe", "NVIDIA H100 NVL", "NVIDIA GH200 480GB",
     "NVIDIA H100 80GB HBM3 MIG 1g.10gb"],
)  # fmt: skip
def test_gpus_of_similar_names_are_measured(monkeypatch, name):
    measured = Peaks(1.0, 2.0, "measured")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    monkeypatch.setattr(roofline, "_measured_peaks", lambda device, dtype: measured)
    assert peaks_of(torch.device("cuda"), torch.bfloat16) == measured


def test_others_are_measured():
    peaks = peaks_of(CPU, torch.float32)
    assert 1e9 < peaks.flops < 1e14
    assert 1e8 < peaks.bandwidth < 1e13
