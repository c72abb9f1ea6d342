import pytest
import torch

from mtlbench.bench.train import evaluation
from mtlbench.bench.train.evaluation import Watched, evaluation_rows, validation_share
from mtlbench.training import loop

CPU = torch.device("cpu")


def test_a_twelfth_validates_and_a_twelfth_is_for_the_test(prepared):
    cohort = Watched(prepared, CPU)
    assert {name: len(case_N) for name, case_N in cohort.split.items()} == {
        "train": 14, "val": 2, "test": 2
    }  # fmt: skip


@pytest.mark.parametrize(("val", "part"), [(1, 1 / (2 * 14 + 1)), (2, 8 / (7 * 2 * 14 + 8))])
def test_the_share_by_a_clock_that_a_step_moves_by_two_a_case(
    monkeypatch, setting, prepared, val, part
):
    """With 1 of 14 cases every epoch is validated, with 2 every other, from the second of 8 on."""
    now = [0.0]

    def moving(work, units):
        def moved(*arguments, **options):
            result = work(*arguments, **options)
            now[0] += units(arguments)
            return result

        return moved

    steps, evaluations = lambda arguments: 2 * setting.batch_size, lambda arguments: val
    monkeypatch.setattr(loop, "take_step", moving(loop.take_step, steps))
    monkeypatch.setattr(loop, "evaluate", moving(loop.evaluate, evaluations))
    cohort = Watched(prepared, CPU)
    cohort.split["val"] = cohort.split["train"][:val]
    cohort.read = lambda: now[0]
    assert validation_share(setting, cohort, setting.model()) == pytest.approx(part)


def test_evaluation_and_outputs_send_each_case_through_the_network_once(
    monkeypatch, setting, prepared
):
    """What is timed against the forward passes, with cases instead of seconds."""
    seen = []

    class Counting(type(setting)):
        def model(self):
            model = super().model()
            model.features.register_forward_hook(lambda net, images, _: seen.append(len(images[0])))
            return model

    def cases(work):
        seen.clear()
        work()
        return sum(seen)

    monkeypatch.setattr(evaluation, "stopwatch", lambda device: cases)
    counting = Counting(*(getattr(setting, name) for name in setting.__slots__))
    rows = {row.id: row for row in evaluation_rows(counting, prepared)}
    assert rows["validation_share"].bar == 0.05
    for row_id in ("evaluate_forward", "outputs_forward"):
        assert (rows[row_id].value, rows[row_id].noise) == (1.0, 0.0)
