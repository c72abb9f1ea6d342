import threading
import time

import numpy as np
import pandas as pd
import pytest
import torch

from mtlbench.data import stream
from mtlbench.data.gather import PackedMasks, ResidentGather, choose_gather, free_memory
from mtlbench.data.prepared import Prepared
from mtlbench.data.stream import DEPTH, StreamedGather

CPU, META = torch.device("cpu"), torch.device("meta")
N = 70
VALUES = np.array([0, 1, 2, 3, 4, 255], np.uint8)


def arrays(height=9, width=7):
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.integers(-(2**15), 2**15, (N, height, width), dtype=np.int16))
    return image, torch.from_numpy(rng.choice(VALUES, (N, height, width)))


def gathers(image_NHW, mask_NHW):
    return {
        "resident": ResidentGather(image_NHW, mask_NHW),
        "packed": ResidentGather(image_NHW, PackedMasks(mask_NHW, CPU)),
        "streamed": StreamedGather(image_NHW, mask_NHW, CPU),
    }


@pytest.mark.parametrize("shape", [(9, 7), (8, 6)], ids=["odd", "even"])
@pytest.mark.parametrize("way", ["resident", "packed", "streamed"])
def test_each_way_gives_the_stored_integers(shape, way):
    image_NHW, mask_NHW = arrays(*shape)
    case_M = np.random.default_rng(1).permutation(N)[:18]
    sizes = [4, 4, 3, 1, 4, 2]
    # held all at once, so that a buffer that is used again would show
    batches = list(gathers(image_NHW, mask_NHW)[way](case_M, sizes))
    assert [len(mask_BHW) for _, mask_BHW in batches] == sizes
    assert np.array_equal(torch.cat([image for image, _ in batches]), image_NHW.numpy()[case_M])
    assert np.array_equal(torch.cat([mask for _, mask in batches]), mask_NHW.numpy()[case_M])
    assert batches[0][1].dtype == torch.uint8


@pytest.mark.parametrize("way", ["resident", "packed", "streamed"])
def test_no_cases_no_batches(way):
    assert list(gathers(*arrays())[way](np.empty(0, np.int64), [])) == []


def test_packed_masks_take_half_the_memory():
    _, mask_NHW = arrays(8, 6)
    packed = [
        value for value in vars(PackedMasks(mask_NHW, CPU)).values() if torch.is_tensor(value)
    ]
    assert sum(tensor.nbytes for tensor in packed) == mask_NHW.nbytes // 2


def prepared(n):
    images, masks = np.zeros((n, 100, 100), np.uint16), np.zeros((n, 100, 100), np.uint8)
    return Prepared(None, {}, pd.DataFrame(), pd.DataFrame(), images, masks)


@pytest.mark.parametrize(
    ("free", "words"),
    [
        (600_000, "resident on meta: 0.0003 GB, of 0.0006 GB free"),
        (599_999, "resident on meta, masks packed: 0.00025 GB, of 0.0006 GB free"),
        (500_000, "resident on meta, masks packed: 0.00025 GB, of 0.0005 GB free"),
        (499_999, "streamed to meta: 0.0003 GB do not fit in 50% of 0.0005 GB free"),
    ],
)
def test_the_way_follows_from_free_memory(free, words):
    """The meta device has no memory of its own: it stands for a GPU."""
    gather, placement = choose_gather(prepared(10), META, free)
    assert placement == words
    assert isinstance(gather, StreamedGather if "streamed" in words else ResidentGather)
    image_BHW, mask_BHW = next(iter(gather(np.array([3, 1]), [2])))
    assert image_BHW.device == mask_BHW.device == META
    assert image_BHW.shape == mask_BHW.shape == (2, 100, 100)


def test_on_a_cpu_the_memory_map_is_used_as_it_is():
    gather, placement = choose_gather(prepared(10), CPU, free_memory(CPU))
    assert isinstance(gather, ResidentGather)
    assert placement == "memory-mapped"


def test_batches_are_read_ahead_of_the_step(monkeypatch, wait_for):
    loaded, load = [], stream._Slot.load

    def counted(slot, index_B):
        loaded.append(index_B.tolist())
        return load(slot, index_B)

    monkeypatch.setattr(stream._Slot, "load", counted)
    batches = StreamedGather(*arrays(), CPU)(np.arange(12), [2] * 6)
    next(batches)
    wait_for(lambda: len(loaded) == 1 + DEPTH)
    time.sleep(0.05)
    assert loaded == [[0, 1], [2, 3], [4, 5]]
    batches.close()
    assert len(loaded) == 3


def test_an_error_of_the_reader_reaches_the_caller():
    batches = StreamedGather(*arrays(), CPU)(np.array([0, 1, 2, N]), [2, 2])
    next(batches)
    with pytest.raises((IndexError, RuntimeError), match="index out of range"):
        next(batches)


@pytest.mark.parametrize("way", ["closed", "dropped", "broken"])
def test_the_reader_ends_with_the_batches(way, wait_for):
    before = threading.active_count()
    batches = StreamedGather(*arrays(), CPU)(np.array([0, 1, 2, 3, 4, 5, 6, N]), [2] * 4)
    next(batches)
    assert threading.active_count() == before + 1
    if way == "closed":
        batches.close()
    elif way == "dropped":
        del batches
    else:
        with pytest.raises((IndexError, RuntimeError)):
            list(batches)
    wait_for(lambda: threading.active_count() == before)
