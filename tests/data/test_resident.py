import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mtlbench.config import AugmentConfig
from mtlbench.data import resident
from mtlbench.data.gather import PackedMasks, ResidentGather
from mtlbench.data.prepared import Prepared
from mtlbench.data.resident import Cohort
from mtlbench.data.stream import StreamedGather

CPU = torch.device("cpu")
OFF = AugmentConfig(flip=False, rotate_deg=0, scale=0, shift=0, contrast=0, brightness=0)
ALL = AugmentConfig(elastic=0.06, noise=0.2)
N = 23


def make(tmp_path, dtype):
    rng = np.random.default_rng(0)
    top = np.iinfo(dtype).max
    images = rng.integers(0, top, (N, 8, 6), dtype=dtype, endpoint=True)
    masks = rng.choice(np.array([0, 1, 2, 3, 4, 255], np.uint8), (N, 8, 6))
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "masks.npy", masks)
    cases = pd.DataFrame(
        {
            "image_id": [f"i{i}" for i in range(N)],
            "patient_id": [f"p{i}" for i in range(N)],
            "label": pd.array([None if i == 3 else i % 2 for i in range(N)], dtype="Int64"),
            "has_mask": [int(i != 5) for i in range(N)],
        }
    )
    maps = [np.load(tmp_path / name, mmap_mode="r") for name in ("images.npy", "masks.npy")]
    return Prepared(tmp_path, {}, cases, pd.DataFrame(), *maps)


@pytest.fixture(params=[np.uint8, np.uint16], ids=["8 bit", "16 bit"])
def prepared(request, tmp_path):
    return make(tmp_path, request.param)


@pytest.fixture
def split():
    return pd.Series(["train"] * 15 + ["val"] * 4 + ["test"] * 4)


def test_a_batch_is_the_standardised_image_and_its_annotations(prepared, split):
    cohort = Cohort(prepared, split, CPU)
    (batch,) = cohort.eval_batches(np.arange(2, 7), batch_size=8)
    top = np.iinfo(prepared.images.dtype).max
    train = prepared.images[:15].astype(np.float64) / top
    expected = (prepared.images[2:7] / top - train.mean()) / train.std()
    np.testing.assert_allclose(batch.image_B1HW[:, 0].numpy(), expected, rtol=1e-4, atol=1e-5)
    assert np.array_equal(batch.mask_BHW.numpy(), prepared.masks[2:7])
    assert batch.has_label_B.tolist() == [True, False, True, True, True]
    assert batch.has_mask_B.tolist() == [True, True, True, False, True]
    assert batch.label_B[[0, 2, 3, 4]].tolist() == [0, 0, 1, 0]


def ways(prepared):
    images = prepared.images.copy()
    image_NHW = torch.from_numpy(images.view(np.int16) if images.dtype == np.uint16 else images)
    mask_NHW = torch.from_numpy(prepared.masks.copy())
    return {
        "resident": ResidentGather(image_NHW, mask_NHW),
        "packed": ResidentGather(image_NHW, PackedMasks(mask_NHW, CPU)),
        "streamed": StreamedGather(image_NHW, mask_NHW, CPU),
    }


@pytest.mark.parametrize("way", ["packed", "streamed"])
def test_where_the_data_lie_changes_no_bit_of_a_batch(prepared, split, monkeypatch, way):
    def batches(way):
        gather = ways(prepared)[way]
        monkeypatch.setattr(resident, "choose_gather", lambda *_: (gather, way))
        cohort = Cohort(prepared, split, CPU)
        assert cohort.placement == way
        return list(cohort.train_batches(1, 2, 4, ALL, range(3)))

    for expected, got in zip(batches("resident"), batches(way), strict=True):
        for field in dataclasses.fields(got):
            pair = (getattr(batch, field.name) for batch in (expected, got))
            assert np.array_equal(*map(np.asarray, pair))


@pytest.mark.parametrize("way", ["packed", "streamed"])
def test_where_the_data_lie_changes_no_bit_of_an_evaluation(prepared, split, monkeypatch, way):
    def batches(way):
        gather = ways(prepared)[way]
        monkeypatch.setattr(resident, "choose_gather", lambda *_: (gather, way))
        with torch.inference_mode():  # as evaluation does
            return [*Cohort(prepared, split, CPU).eval_batches(np.arange(3, 20), 4)]

    for expected, got in zip(batches("resident"), batches(way), strict=True):
        assert torch.equal(got.image_B1HW, expected.image_B1HW)
        assert torch.equal(got.mask_BHW, expected.mask_BHW)


class Watched(TorchDispatchMode):
    """Refuses what makes the host wait for the device; counts copies from host to device."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique")

    def __init__(self):
        super().__init__()
        self.uploads = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        out = func(*args, **(kwargs or {}))
        assert not name.startswith(self.WAITS), name
        if name in ("_to_copy", "copy_"):
            places = [value.device.type for value in (*args, out) if torch.is_tensor(value)]
            assert places[-1] == "meta" or "meta" not in places, "a copy to the host"
            self.uploads += places[0] == "cpu" and places[-1] == "meta"
        return out


def test_a_step_neither_waits_for_the_device_nor_copies_to_it(prepared, split, monkeypatch):
    """The meta device stands for a GPU: whatever asks for a value there fails."""
    monkeypatch.setattr(resident, "free_memory", lambda device: 10**9)
    cohort = Cohort(prepared, split, torch.device("meta"))
    assert cohort.placement.startswith("resident")

    def uploads(steps):
        with Watched() as watched:
            for batch in cohort.train_batches(0, 0, 4, ALL, range(steps)):
                assert batch.image_B1HW.device.type == "meta"
                assert len(batch.parts(2)) == 2
        return watched.uploads

    assert uploads(1) == uploads(3) > 0


def test_runs_that_share_a_device_divide_its_memory(prepared, split, monkeypatch):
    whole = prepared.images.nbytes + prepared.masks.nbytes
    monkeypatch.setattr(resident, "free_memory", lambda device: 4 * whole)
    for sharers, way in ((1, "resident"), (2, "resident"), (3, "streamed")):
        cohort = Cohort(prepared, split, torch.device("meta"), sharers=sharers)
        assert cohort.placement.startswith(way)


def test_parts_are_consecutive_views_of_nearly_equal_size(prepared, split):
    (batch,) = Cohort(prepared, split, CPU).eval_batches(np.arange(2, 13), batch_size=11)
    parts = batch.parts(4)
    assert [part.case_B.tolist() for part in parts] == [
        part.tolist() for part in np.array_split(np.arange(2, 13), 4)
    ]
    for name in ("image_B1HW", "mask_BHW", "label_B", "has_label_B", "has_mask_B"):
        whole, pieces = getattr(batch, name), [getattr(part, name) for part in parts]
        assert torch.equal(torch.cat(pieces), whole)
        assert all(piece._base is not None for piece in pieces)
    assert len(batch.parts(1)) == 1
    assert [len(part.case_B) for part in batch.parts(20)] == [1] * 11


def test_training_sees_each_training_case_at_most_once_an_epoch(prepared, split):
    cohort = Cohort(prepared, split, CPU)
    seen = [
        case
        for batch in cohort.train_batches(0, seed=1, batch_size=4, config=OFF, steps=range(3))
        for case in batch.case_B
    ]
    assert len(set(seen)) == len(seen) == 12
    assert set(seen) <= set(range(15))
    assert cohort.steps_per_epoch(4) == 3
    assert cohort.steps_per_epoch(100) == 1


def test_the_order_depends_on_seed_and_epoch_alone(prepared, split):
    cohort = Cohort(prepared, split, CPU)

    def order(seed, epoch):
        batches = cohort.train_batches(epoch, seed, 5, OFF, steps=range(3))
        return [case for batch in batches for case in batch.case_B]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_training_pixels_are_those_of_masked_training_cases(prepared, split):
    pixels_NK = Cohort(prepared, split, CPU).train_pixels()
    kept = [i for i in range(15) if i != 5]
    expected = [[(prepared.masks[i] == k).sum() for k in range(5)] for i in kept]
    assert pixels_NK.tolist() == expected


def test_ranks_share_a_batch(prepared, split):
    def cases(part):
        cohort = Cohort(prepared, split, CPU, part=part)
        return [b.case_B.tolist() for b in cohort.train_batches(0, 0, 5, OFF, range(2))]

    for whole, first, second in zip(cases((0, 1)), cases((0, 2)), cases((1, 2)), strict=True):
        assert first + second == whole
        assert len(first) == 3


def test_no_steps_left_no_batches(prepared, split):
    assert list(Cohort(prepared, split, CPU).train_batches(0, 0, 4, ALL, range(3, 3))) == []


def test_batches_are_frozen(prepared, split):
    (batch,) = Cohort(prepared, split, CPU).eval_batches(np.arange(3), batch_size=8)
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch.mask_BHW = None
