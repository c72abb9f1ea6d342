import pytest
import torch
from torch import nn

from mtlbench.bench.train import networks
from mtlbench.bench.train.networks import PEERS, Peer, network_rows
from mtlbench.bench.train.setting import Setting


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(Setting, "rounds", 1)


def rows_of(monkeypatch, setting, build):
    monkeypatch.setattr(networks, "PEERS", {"peer": Peer("a peer", build, 2.0, "small", 8)})
    return {row.id: row for row in network_rows(setting)}


def test_what_a_peer_costs(quick, monkeypatch, setting):
    """A convolution of 1 x 1: the image is kept, and logits and log-softmax for the loss."""
    rows = rows_of(monkeypatch, setting, lambda: nn.Conv2d(1, 5, 1))
    height, width = setting.size
    pixels = height * width
    # forward and weight gradient: the image needs none
    assert rows["peer_gflop"].value == pytest.approx(2 * (2 * 5 * pixels) / 1e9)
    image, log_softmax, target = 4 * pixels, 4 * 5 * pixels, 8 * pixels
    total_weight = 4 / setting.batch_size
    assert rows["peer_saved_mb"].value * 1e6 == pytest.approx(
        image + log_softmax + target + total_weight
    )
    assert rows["peer_time"].value > 0
    assert rows["peer_time"].noise >= 0
    assert rows["peer_time"].bar == 2.0
    assert "architectures differ" in rows["peer_time"].what


def test_a_peer_that_crashes_leaves_its_rows_empty(quick, monkeypatch, setting, capsys):
    def crash():
        raise ModuleNotFoundError("No module named 'smp'")

    rows = rows_of(monkeypatch, setting, crash)
    assert [row.value for row in rows.values()] == [None] * 3
    assert "peer is not measured: ModuleNotFoundError" in capsys.readouterr().err


@pytest.mark.parametrize("name", PEERS)
def test_peers_give_logits_of_every_pixel(name):
    try:
        net = PEERS[name].build()
    except ImportError as error:
        pytest.skip(str(error))
    with torch.no_grad():
        assert net(torch.zeros(2, 1, 64, 32)).shape == (2, 5, 64, 32)
