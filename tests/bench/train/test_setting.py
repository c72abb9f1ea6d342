import itertools

import numpy as np
import pytest
import torch

from mtlbench.bench.train.setting import Metered, choose_device, stand_in
from mtlbench.config import AugmentConfig
from mtlbench.errors import StudyError

CPU = torch.device("cpu")


def test_stand_ins_are_the_same_bytes_each_time(prepared, tmp_path):
    again = stand_in(tmp_path, prepared.images.shape[1:], len(prepared.images))
    assert np.array_equal(again.images, prepared.images)
    assert np.array_equal(again.masks, prepared.masks)


def test_stand_ins_have_twelve_bits_grain_and_lesions(prepared):
    assert prepared.images.dtype == np.uint16
    assert 255 < prepared.images.max() <= 4095
    assert len(np.unique(prepared.images)) > 256
    assert prepared.masks.any()
    assert prepared.cases["image_id"].is_unique


@pytest.mark.parametrize("warm", [1, 2])
def test_the_gauge_is_read_after_the_first_steps_and_before_the_last(prepared, warm):
    cohort = Metered(prepared, CPU, 2, 4, warm)
    readings = iter([100.0, 100.0 + 8 * (3 - warm)])
    cohort.read = lambda: next(readings)
    assert len(list(cohort)) == 4
    assert cohort.per_step == 8.0
    assert next(readings, None) is None


def test_what_is_read_is_whole_steps(cohort):
    done = itertools.count()
    cohort.read = lambda: float(next(done))
    for _ in cohort:
        for _ in range(5):  # a step's work
            next(done)
    assert cohort.per_step == (2 * 5 + 1) / 2  # two steps, and the reading itself


def test_a_loop_that_asks_for_no_batch_beyond_the_last_is_measured_too(cohort):
    readings = iter([3.0, 7.0])
    cohort.read = lambda: next(readings)
    batches = iter(cohort)
    for _ in range(len(cohort)):
        next(batches)
    assert cohort.per_step == 2.0


def test_ready_batches_are_those_of_the_first_epoch(prepared, cohort):
    ready = Metered(prepared, CPU, 2, 4).make_ready()
    for made, given in zip(cohort, ready, strict=True):
        assert torch.equal(made.image_B1HW, given.image_B1HW)
    again = list(ready.train_batches(7, 1, 2, AugmentConfig(), range(4)))
    assert [id(batch) for batch in again] == [id(batch) for batch in ready]


def test_devices():
    assert choose_device("cpu") == CPU
    with pytest.raises(StudyError, match="must be auto, cpu, cuda or cuda:N, but got 'tpu9'"):
        choose_device("tpu9")
    if not torch.cuda.is_available():
        assert choose_device("auto") == CPU
        with pytest.raises(StudyError, match="torch finds no GPU"):
            choose_device("cuda:0")
