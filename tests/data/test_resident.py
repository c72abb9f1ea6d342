import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from mtlbench.config import AugmentConfig
from mtlbench.data import resident
from mtlbench.data.prepared import Prepared
from mtlbench.data.resident import Cohort, ResidentGather, StreamedGather

CPU = torch.device("cpu")
OFF = AugmentConfig(flip=False, rotate_deg=0, scale=0, shift=0, contrast=0, brightness=0)
N = 23


def make(tmp_path, dtype):
    rng = np.random.default_rng(0)
    top = np.iinfo(dtype).max
    images = rng.integers(0, top, (N, 8, 6), dtype=dtype, endpoint=True)
    masks = rng.integers(0, 5, (N, 8, 6), dtype=np.uint8)
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


def test_streamed_and_resident_batches_are_equal_to_the_bit(prepared):
    batches = [np.array([3, 1]), np.array([22, 0, 7]), np.array([5])]
    pairs = zip(
        ResidentGather(prepared, CPU)(batches), StreamedGather(prepared, CPU)(batches), strict=True
    )
    for (image_a, mask_a), (image_b, mask_b) in pairs:
        assert torch.equal(image_a, image_b)
        assert torch.equal(mask_a, mask_b)


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


def test_what_does_not_fit_is_streamed(prepared, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 10_000))
    assert isinstance(resident.choose_gather(prepared, torch.device("cuda")), StreamedGather)
    assert isinstance(resident.choose_gather(prepared, CPU), ResidentGather)


def test_batches_are_frozen(prepared, split):
    (batch,) = Cohort(prepared, split, CPU).eval_batches(np.arange(3), batch_size=8)
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch.mask_BHW = None
