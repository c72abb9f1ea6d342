from dataclasses import replace

import numpy as np
import pytest
import torch

from mtlbench.config import ModelConfig
from mtlbench.data.resident import Batch
from mtlbench.models.network import build_model
from mtlbench.training.losses import LOSSES
from mtlbench.training.ranks import Ranks
from mtlbench.training.tasks import Tasks

WEIGHT_K = torch.tensor([0.1, 1.0, 2.0, 0.0, 3.0])
LABELLED = torch.tensor([True, False, True, True, False, True, True])
MASKED = torch.tensor([True, True, False, True, True, False, True])
TASKS = Tasks(0.3, 0.7, LOSSES["cross-entropy"], WEIGHT_K)


@pytest.fixture
def model():
    """Without batch norm's dependence on who else is in a batch."""
    return build_model(ModelConfig(backbone="small", output_stride=8), 0).eval()


@pytest.fixture
def batch():
    random = torch.Generator().manual_seed(0)
    mask_BHW = torch.randint(0, 5, (7, 32, 24), generator=random).byte()
    mask_BHW[0, :5] = 255
    image_B1HW = torch.randn(7, 1, 32, 24, generator=random)
    label_B = torch.tensor([1.0, 0, 0, 1, 0, 1, 0])
    return Batch(image_B1HW, mask_BHW, label_B, LABELLED, MASKED, np.arange(7))


def part(batch, cases):
    tensors = (
        batch.image_B1HW, batch.mask_BHW, batch.label_B, batch.has_label_B, batch.has_mask_B
    )  # fmt: skip
    return Batch(*(tensor[cases] for tensor in tensors), np.arange(7)[cases])


def gradients(model, loss):
    return torch.autograd.grad(loss, list(model.parameters()))


def test_the_parts_of_a_batch_add_up_to_it(model, batch):
    counts = TASKS.counts(batch)
    whole = TASKS.losses(model, batch, counts)
    parts = [
        TASKS.losses(model, part(batch, cases), counts)
        for cases in (slice(0, 1), slice(1, 5), slice(5, 7))
    ]
    for found, expected in zip(zip(*parts, strict=True), whole, strict=True):
        torch.testing.assert_close(sum(found), expected)
    summed = gradients(model, sum(total for total, _, _ in parts))
    for found, expected in zip(summed, gradients(model, whole[0]), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert whole[0].item() == pytest.approx(0.3 * whole[1].item() + 0.7 * whole[2].item())


@pytest.mark.parametrize("stride", [4, 8])
def test_the_squares_of_a_batch_are_cut_with_it(model, batch, stride):
    tasks = replace(TASKS, target_stride=stride)
    pooled = tasks.pooled(batch)
    counts = tasks.counts(pooled)
    assert counts == TASKS.counts(batch)
    whole = tasks.losses(model, pooled, counts)
    assert whole[2] != TASKS.losses(model, batch, counts)[2]
    parts = [tasks.losses(model, part, counts) for part in pooled.parts(3)]
    of_their_own = [tasks.losses(model, tasks.pooled(part), counts) for part in batch.parts(3)]
    assert parts == of_their_own
    for found, expected in zip(zip(*parts, strict=True), whole, strict=True):
        torch.testing.assert_close(sum(found), expected)


def test_without_segmentation_or_a_stride_nothing_is_pooled(batch):
    assert TASKS.pooled(batch) is batch
    assert replace(TASKS, target_stride=8, seg_weight=0.0).pooled(batch) is batch


def test_over_ranks_the_mean_of_the_shares_is_the_whole(model, batch):
    class Half(Ranks):
        """One of two, who knows what both hold."""

        def total(self, values):
            return values + TASKS_OF_BOTH[1 - self.index]

    halves = [part(batch, slice(0, 4)), part(batch, slice(4, 7))]
    TASKS_OF_BOTH = [torch.stack(list(TASKS.counts(half))) for half in halves]
    shares = [
        TASKS.losses(model, half, TASKS.counts(half, Half(index, 2)))
        for index, half in enumerate(halves)
    ]
    expected = TASKS.losses(model, batch, TASKS.counts(batch))
    for found, value in zip(zip(*shares, strict=True), expected, strict=True):
        torch.testing.assert_close(sum(found) / 2, value)


def test_counts_are_labelled_cases_and_pixel_weights(batch):
    cls, seg = TASKS.counts(batch)
    assert cls == 5
    pixels_K = np.bincount(batch.mask_BHW[MASKED].flatten().numpy(), minlength=5)[:5]
    assert seg.item() == pytest.approx(pixels_K @ WEIGHT_K.numpy(), rel=1e-6)


def test_a_task_of_weight_zero_is_neither_counted_nor_computed(model, batch):
    tasks = Tasks(1.0, 0.0, lambda *_: pytest.fail("was computed"), WEIGHT_K)
    counts = tasks.counts(part(batch, slice(0, 2)))
    assert counts.seg == 1
    total, cls, seg = tasks.losses(model, part(batch, slice(0, 2)), counts)
    assert total == cls
    assert seg == 0


def test_a_batch_without_annotations_has_no_loss_and_no_gradient(model, batch):
    nobody = torch.zeros(7, dtype=torch.bool)
    empty = Batch(batch.image_B1HW, batch.mask_BHW, batch.label_B, nobody, nobody, batch.case_B)
    losses = TASKS.losses(model, empty, TASKS.counts(empty))
    assert [loss.item() for loss in losses] == [0, 0, 0]
    assert all(gradient.abs().max() == 0 for gradient in gradients(model, losses[0]))


def test_the_host_waits_for_nothing(dispatched, model, batch):
    with dispatched as made:
        total, _, _ = TASKS.losses(model, batch, TASKS.counts(batch))
        total.backward()
    assert made.waits == 0
