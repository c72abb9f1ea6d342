from fractions import Fraction

import pytest

from mtlbench.training.validation import epochs_apart, is_due, share


def validated(apart, epochs):
    return [epoch for epoch in range(1, epochs + 1) if is_due(epoch, epochs, apart)]


@pytest.mark.parametrize(("train", "val"), [(700, 150), (1225, 359), (100, 100), (50, 1), (3, 900)])
@pytest.mark.parametrize("epochs", [1, 2, 3, 10, 30, 61])
def test_auto_is_the_smallest_number_that_stays_below_a_twentieth(train, val, epochs):
    """By counting the validated epochs, in exact fractions."""

    def part(apart):
        cost = Fraction(3 * len(validated(apart, epochs)) * val, 5)
        return cost / (epochs * train + cost)

    enough = [apart for apart in range(1, epochs) if part(apart) < Fraction(1, 20)]
    found = epochs_apart("auto", epochs, train, val)
    assert found == (enough[0] if enough else epochs)
    assert share(found, epochs, train, val) == pytest.approx(float(part(found)))


def test_a_usual_split_is_validated_every_third_epoch_and_a_short_run_once():
    assert epochs_apart("auto", 60, trained=700, val=150) == 3
    assert epochs_apart("auto", 2, trained=700, val=150) == 2
    assert epochs_apart("auto", 1, trained=700, val=150) == 1
    assert epochs_apart(7, 60, trained=700, val=150) == 7


def test_the_last_epoch_is_always_validated():
    assert validated(3, 7) == [3, 6, 7]
    assert validated(9, 7) == [7]
    assert validated(1, 3) == [1, 2, 3]
