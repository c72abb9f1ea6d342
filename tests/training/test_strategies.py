import pytest

from mtlbench.config import BudgetConfig, LossConfig, RunConfig
from mtlbench.errors import StudyError
from mtlbench.training.strategies import STRATEGIES, Stage


def config(rule="per-stage", **values):
    return RunConfig(budget=BudgetConfig(rule=rule, epochs=values.pop("epochs", 7)), **values)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_strategy_is_a_tuple_of_stages_with_something_to_do(name):
    stages = STRATEGIES[name](config())
    assert len(stages) >= 1
    for stage in stages:
        assert stage.cls_weight + stage.seg_weight > 0
        assert (stage.epochs is None) != (stage.steps is None)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_under_a_total_budget_every_strategy_takes_the_same_steps(name):
    stages = STRATEGIES[name](config("total"))
    assert sum(stage.total_steps(30) for stage in stages) == 7 * 30


def test_eq_1():
    (stage,) = STRATEGIES["joint"](config(loss=LossConfig(lambda_=0.3)))
    assert (stage.cls_weight, stage.seg_weight) == (0.3, 0.7)


def test_per_stage_sequential_begins_with_the_seg_strategy_itself():
    assert STRATEGIES["sequential"](config())[:1] == STRATEGIES["seg"](config())


def test_a_budget_of_one_cannot_be_split():
    with pytest.raises(StudyError, match=r"budget.epochs must be >= 2 to be split"):
        STRATEGIES["sequential"](config("total", epochs=1))


def test_steps_end_within_an_epoch():
    stage = Stage("cls", 1.0, 0.0, epochs=None, steps=25)
    assert (stage.total_steps(10), stage.total_epochs(10)) == (25, 3)
