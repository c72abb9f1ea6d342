import math

import pytest
import torch

from mtlbench.config import (
    AugmentConfig,
    BudgetConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
)
from mtlbench.models.network import build_model
from mtlbench.training.loop import HISTORY, learning_rate, train
from mtlbench.training.losses import LOSSES
from mtlbench.training.state import DivergedError
from mtlbench.training.strategies import STRATEGIES, Stage
from mtlbench.training.tasks import Tasks

OPTIM = OptimConfig(batch_size=4, lr=1e-3)


def train_strategy(cohort, strategy, lambda_=0.5, optim=OPTIM, seed=0):
    config = RunConfig(
        strategy=strategy, loss=LossConfig(lambda_=lambda_), budget=BudgetConfig(epochs=2)
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
