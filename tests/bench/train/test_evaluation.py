import pytest
import torch

from mtlbench.bench.train import evaluation
from mtlbench.bench.train.evaluation import EPOCHS, Watched, evaluation_rows, validation_share
from mtlbench.training import loop
from mtlbench.training.validation import epochs_apart

CPU = torch.device("cpu")


def test_as_much_is_for_validation_as_is_validated_each_epoch(prepared):
    cohort = Watched(prepared, CPU)
    assert {name: len(case_N) for name, case_N in cohort.split.items()} == {
        "train": 24, "val": 2, "test": 2
    }  # fmt: skip
    assert epochs_apart("auto", EPOCHS, 24, 2) == 1
    assert epochs_apart("auto", EPOCHS, 24, 3) == 2


@pytest.mark.parametrize(("val", "part"), [(2, 2 / (2 * 24 + 2)), (3, 12 / (7 * 2 * 24 + 12))])
def test_the_share_by_a_clock_that_a_step_moves_by_two_a_case(
    monkeypatch, setting, prepared, val, part
):
    """With 2 of 24 cases every epoch is validated, with 3 every other, from the second of 8 on."""
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
