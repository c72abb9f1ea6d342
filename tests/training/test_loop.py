import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mtlbench.config import (
    AugmentConfig,
    BudgetConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
)
from mtlbench.models.network import build_model
from mtlbench.training import loop
from mtlbench.training.loop import HISTORY, VALIDATION, learning_rate, take_step, train
from mtlbench.training.losses import LOSSES
from mtlbench.training.ranks import Ranks
from mtlbench.training.state import DivergedError
from mtlbench.training.strategies import STRATEGIES, Stage
from mtlbench.training.tasks import Tasks

OPTIM = OptimConfig(batch_size=4, lr=1e-3, validate_every=1)


def train_strategy(cohort, strategy, lambda_=0.5, optim=OPTIM, seed=0, epochs=2):
    config = RunConfig(
        strategy=strategy, loss=LossConfig(lambda_=lambda_), budget=BudgetConfig(epochs=epochs)
    )
    stage = STRATEGIES[strategy](config)[-1]
    model = build_model(ModelConfig(backbone="small", output_stride=8), seed)
    tasks = Tasks(stage.cls_weight, stage.seg_weight, LOSSES["cross-entropy"], torch.ones(5))
    rows = []
    steps = train(model, cohort, stage, tasks, optim, AugmentConfig(), seed, rows.append)
    return model.state_dict(), rows, steps.step


def same(a, b, skip=()):
    return {
        key for key in a if not key.startswith(skip) and not torch.equal(a[key], b[key])
    } == set()


@pytest.mark.parametrize(("lambda_", "single"), [(1.0, "cls"), (0.0, "seg")])
def test_joint_at_the_ends_of_lambda_is_the_single_task_to_the_bit(cohort, lambda_, single):
    joint, joint_rows, _ = train_strategy(cohort, "joint", lambda_)
    alone, alone_rows, _ = train_strategy(cohort, single)
    assert same(joint, alone)
    assert [r["loss"] for r in joint_rows] == [r["loss"] for r in alone_rows]


def test_a_task_of_weight_zero_leaves_its_head_as_it_was(cohort):
    fresh = build_model(ModelConfig(backbone="small", output_stride=8), 0).state_dict()
    trained, rows, _ = train_strategy(cohort, "cls")
    assert same({k: v for k, v in trained.items() if k.startswith("s_net")}, fresh)
    assert not torch.equal(trained["c_net.weight"], fresh["c_net.weight"])
    assert rows[0]["loss_seg"] is None
    assert rows[0]["val_dice"] is None


def test_every_strategy_gives_other_weights(cohort):
    states = [train_strategy(cohort, name)[0] for name in ("cls", "seg", "joint")]
    keys = [k for k in states[0] if k.startswith("features")]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert not all(torch.equal(states[a][k], states[b][k]) for k in keys)


def test_same_seed_same_bits_other_seed_others(cohort):
    first, rows, steps = train_strategy(cohort, "joint")
    again, rows_again, _ = train_strategy(cohort, "joint")
    other, _, _ = train_strategy(cohort, "joint", seed=1)
    assert same(first, again)
    assert rows == rows_again
    assert not same(first, other)
    assert steps == 2 * cohort.steps_per_epoch(4)
    assert set(rows[0]) == set(HISTORY)


def test_the_best_epoch_is_kept(cohort):
    optim = OPTIM.model_copy(update={"select": "val.auc"})
    _, rows, _ = train_strategy(cohort, "cls", optim=optim)
    last, _, _ = train_strategy(cohort, "cls")
    kept, _, _ = train_strategy(cohort, "cls", optim=optim)
    best_is_last = rows[-1]["val_auc"] > rows[0]["val_auc"]
    assert same(kept, last) == best_is_last


def test_only_validated_epochs_have_validation_columns_and_may_be_kept(cohort):
    optim = OPTIM.model_copy(update={"select": "val.auc", "validate_every": 3})
    _, rows, _ = train_strategy(cohort, "cls", optim=optim, epochs=5)
    said = [[row["epoch"] for row in rows if row[name] is not None] for name in VALIDATION]
    assert said == [[3, 5], [], [3, 5], [], [], []]
    every, _, _ = train_strategy(cohort, "cls", epochs=5)
    last, rows_of_last, _ = train_strategy(
        cohort, "cls", optim=OPTIM.model_copy(update={"validate_every": 5}), epochs=5
    )
    assert same(every, last)
    assert rows_of_last[-1]["val_auc"] == rows[-1]["val_auc"]


def one_step(cohort, parts, training):
    """Losses, gradients and buffers of a step of the first batch in parts."""
    model = build_model(ModelConfig(backbone="small", output_stride=8), 0).train(training)
    tasks = Tasks(0.3, 0.7, LOSSES["cross-entropy"], torch.tensor([0.1, 1.0, 2.0, 0.5, 3.0]))
    batch = next(iter(cohort.train_batches(0, 0, 5, AugmentConfig(), range(1))))
    still = torch.optim.SGD(model.parameters(), lr=0.0)
    losses_3 = take_step(model, tasks, batch, still, parts)
    return [losses_3, *(p.grad for p in model.parameters())], list(model.buffers())


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_parts_of_a_batch_have_the_gradient_of_the_whole_but_for_batch_norm(cohort, parts):
    """In evaluation mode batch norm is a fixed affine map."""
    for found, expected in zip(
        one_step(cohort, parts, False)[0], one_step(cohort, 1, False)[0], strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    _, buffers = one_step(cohort, parts, True)
    seen = {int(values) for values in buffers if values.dtype == torch.int64}
    assert seen == {parts}


class Counted(TorchDispatchMode):
    """Counts the operations that reach a kernel or make a view."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def test_a_step_has_hardly_more_operations_than_one_written_by_hand(cohort):
    model = build_model(ModelConfig(backbone="small", output_stride=8), 0).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    tasks = Tasks(0.5, 0.5, LOSSES["cross-entropy"], torch.ones(5))
    batch = next(iter(cohort.train_batches(0, 0, 4, AugmentConfig(), range(1))))

    def by_hand():
        optimizer.zero_grad()
        loss, _, _ = tasks.losses(model, batch, tasks.counts(batch))
        loss.backward()
        optimizer.step()

    counts = []
    for step in (by_hand, lambda: take_step(model, tasks, batch, optimizer)):
        step()
        with Counted() as counted:
            step()
        counts.append(len(counted.names))
    assert counts[0] < counts[1] <= 1.02 * counts[0]
    waits = ("_local_scalar_dense", "nonzero", "masked_select", "equal")
    assert [name for name in counted.names if any(word in name for word in waits)] == []


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_step_compares_with_squares_where_the_target_has_a_stride(cohort, accumulate):
    model = build_model(ModelConfig(backbone="small", output_stride=8), 0).eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    tasks = Tasks(0.5, 0.5, LOSSES["cross-entropy"], torch.ones(5), target_stride=8)
    batch = next(iter(cohort.train_batches(0, 0, 4, AugmentConfig(), range(1))))
    losses_3 = take_step(model, tasks, batch, optimizer, accumulate)
    pooled = tasks.pooled(batch)
    expected = torch.stack(tasks.losses(model, pooled, tasks.counts(pooled))).detach()
    torch.testing.assert_close(losses_3, expected)
    assert expected[2] != tasks.losses(model, batch, tasks.counts(batch))[2]


def test_a_loss_that_is_not_finite_ends_the_run(cohort):
    stage = Stage("cls", 1.0, 0.0, epochs=1, steps=None)
    model = build_model(ModelConfig(backbone="small", output_stride=8), 0)
    model.c_net.bias.data.fill_(math.nan)
    tasks = Tasks(1.0, 0.0, LOSSES["cross-entropy"], torch.ones(5))
    with pytest.raises(DivergedError, match="must stay finite, but its sum is nan at step"):
        train(model, cohort, stage, tasks, OPTIM, AugmentConfig(), 0, lambda _: None)


def test_learning_rate_rises_then_falls_as_half_a_cosine():
    optim = OptimConfig(lr=1.0, warmup=0.1)
    rates = [learning_rate(step, 100, optim) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.5 * (1 + math.cos(math.pi * 89 / 90)))


def test_how_often_is_validated_follows_from_the_cases_of_one_rank(cohort, monkeypatch):
    """Each of three ranks trains on a third of the whole batches, and evaluates all."""
    asked = []

    def note(*counts):
        asked.append(counts)
        raise InterruptedError

    monkeypatch.setattr(loop, "epochs_apart", note)
    monkeypatch.setattr(Ranks, "count", 3)
    with pytest.raises(InterruptedError):
        train_strategy(cohort, "joint", optim=OptimConfig(batch_size=5))
    train, val = (len(cohort.split[name]) for name in ("train", "val"))
    assert train % 5, "cases are left over"
    assert asked == [("auto", 2, train // 5 * 5 // 3, val)]
