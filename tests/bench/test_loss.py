import math

import pytest
import torch
import torch.nn.functional as F

from mtlbench.bench import loss
from mtlbench.bench.loss import by_hand, cosine, example, gradient_error, hard_examples, tail

CPU = torch.device("cpu")
BARS = {
    "tail_time": 1.15, "tail_time_small": None, "tail_peak": 0.15, "tail_saved": 0.01,
    "tail_gradient": 1e-5, "pooled4_time": 0.15, "pooled8_time": 0.05, "pooled4_cosine": 0.999,
    "pooled8_cosine": 0.999,
}  # fmt: skip


def test_every_row_with_its_bar_and_memory_as_it_must_be(monkeypatch):
    monkeypatch.setattr(loss, "PAPER", (384, 288))
    monkeypatch.setattr(loss, "ROUNDS", 1)
    rows = {row.id: row for row in loss.run().rows}
    assert {name: row.bar for name, row in rows.items()} == BARS
    assert all(math.isfinite(row.value) and row.value > 0 for row in rows.values())
    assert rows["tail_gradient"].value < 1e-5
    assert rows["tail_saved"].value < 0.01
    assert rows["pooled4_cosine"].value > 0.999


def test_the_peer_is_torchs_own_mean():
    one = example((64, 48), 2, CPU)
    logit_BKHW = F.interpolate(one.logit_BKhw, size=(64, 48), mode="bilinear")
    expected = F.cross_entropy(logit_BKHW, one.batch.mask_BHW.long(), one.weight_K)
    assert by_hand(one.batch)(*one).item() == pytest.approx(expected.item(), rel=1e-6)
    assert tail(1)(*one).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_wrong_gradient_would_be_seen(monkeypatch):
    one = example((64, 48), 1, CPU)
    assert gradient_error(one) < 1e-5
    right = tail(1)
    monkeypatch.setattr(loss, "tail", lambda stride: lambda *given: 1.001 * right(*given))
    assert gradient_error(one) == pytest.approx(1e-3, rel=0.01)


def test_coarse_squares_would_be_seen():
    one = example((256, 192), 1, CPU)
    assert cosine(1, one) == pytest.approx(1, abs=1e-9)
    assert cosine(8, one) < cosine(4, one) < 1


def test_hard_examples_are_hard():
    plain, odd, absent, unmasked, weightless = hard_examples(CPU)
    assert len(plain.batch.mask_BHW) == 1
    assert odd.batch.mask_BHW.shape[1] % 2
    assert (odd.batch.mask_BHW == 255).any()
    assert not (absent.batch.mask_BHW == 4).any()
    assert not unmasked.batch.has_mask_B.all()
    assert (weightless.weight_K == 0).any()
