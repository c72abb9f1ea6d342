import numpy as np
import pytest
import torch

from mtlbench.bench.measure import Ratio
from mtlbench.bench.train import gather


@pytest.fixture
def small(monkeypatch):
    for name, value in {"PAPER_SIZE": (48, 36), "CASES": 8, "BATCH": 4, "ROUNDS": 1}.items():
        monkeypatch.setattr(gather, name, value)


@pytest.mark.parametrize(
    ("package", "write"), [("cv2", gather.png_files), ("blosc2", gather.b2nd_files)]
)
def test_files_hold_the_very_pixels(prepared, package, write):
    pytest.importorskip(package)
    files = write(prepared)
    assert len(files) == len(prepared.images)
    for index in (0, 5):
        image_HW, mask_HW = files[index]
        assert np.array_equal(image_HW.numpy().view(np.uint16), prepared.images[index])
        assert np.array_equal(mask_HW.numpy(), prepared.masks[index])


def test_monai_caches_standardised_tensors(small, prepared):
    pytest.importorskip("monai")
    cases = gather.monai_cache(prepared)
    first = cases[2]
    assert len(list((prepared.root / "monai").iterdir())) == 1
    pixels_HW = prepared.images[2].astype(float)
    expected_HW = (pixels_HW - pixels_HW.mean()) / pixels_HW.std()
    for item in (first, cases[2]):
        np.testing.assert_allclose(item["image"][0].numpy(), expected_HW, rtol=1e-3, atol=1e-4)
        assert item["image"].dtype == torch.float32
        assert np.array_equal(item["mask"].numpy(), prepared.masks[2])


def test_an_epoch_of_theirs_is_set_against_one_of_ours(small, prepared, monkeypatch):
    """By a clock that each case moves by one, in a loader by seven; what warms up is not timed."""
    turns, threads = [], torch.get_num_threads()

    def cases(work):
        turns.append(torch.get_num_threads())
        return work()

    def against(work, base, rounds):
        assert len(turns) == 2 * gather.WARM
        return Ratio(cases(work) / cases(base), 0.01)

    def in_turn(works, rounds):
        return [[cases(work) for work in works] for _ in range(rounds)]

    def ours(batches):
        return sum(len(image_BHW) for image_BHW, _ in batches())

    monkeypatch.setattr(gather, "against", against)
    monkeypatch.setattr(gather, "in_turn", in_turn)
    monkeypatch.setattr(gather, "_exhaust", ours)
    monkeypatch.setattr(gather, "_loaded", lambda dataset: lambda: 7 * gather.CASES)
    with gather._threads(gather.WORKERS):
        assert gather._times_as_fast(prepared, lambda prepared: None) == Ratio(7.0, 0.01)
    assert set(turns) == {gather.WORKERS}
    assert torch.get_num_threads() == threads


def test_a_peer_that_is_missing_leaves_its_row_empty(small, monkeypatch, capsys):
    def missing(prepared):
        raise ModuleNotFoundError("No module named 'blosc2'")

    monkeypatch.setitem(gather.PEERS, "b2nd", ("blosc2 files", 10.0, missing))
    rows = {row.id: row for row in gather.gather_rows()}
    assert [row.bar for row in rows.values()] == [20.0, 10.0, 10.0, None]
    assert rows["batch_ms"].value > 0
    assert rows["gather_b2nd"].value is None
    assert rows["gather_b2nd"].holds(0.0) is None
    assert "gather_b2nd is not measured: ModuleNotFoundError" in capsys.readouterr().err
    pytest.importorskip("cv2")
    assert rows["gather_png"].value > 0
    assert rows["gather_png"].noise > 0
