import os
import signal
import time

import pytest

from mtlbench.data.parallel import ordered_map


def square(number: int) -> int:
    return number**2


def crash_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    return number


def hang_at_three(number: int) -> int:
    signal.setitimer(signal.ITIMER_PROF, 0.5)  # the limit in the child, shortened
    while number == 3:
        pass
    return number


def slow_first(number: int) -> int:
    time.sleep(0.3 if number == 0 else 0)
    return number


def gone(number: int) -> int:
    return -number


@pytest.mark.parametrize("jobs", [0, 1, 3])
def test_results_come_in_order(jobs: int) -> None:
    assert list(ordered_map(square, range(20), jobs, gone)) == [n**2 for n in range(20)]
    assert list(ordered_map(slow_first, range(4), jobs, gone)) == list(range(4))
    assert list(ordered_map(square, [], jobs, gone)) == []


def test_a_crash_costs_its_own_item_only() -> None:
    expected = [0, 1, 2, -3, *range(4, 12)]
    assert list(ordered_map(crash_at_three, range(12), 2, gone)) == expected


def test_an_item_that_never_ends_is_ended() -> None:
    assert list(ordered_map(hang_at_three, range(6), 2, gone)) == [0, 1, 2, -3, 4, 5]


def test_an_exception_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError):
        list(ordered_map(reciprocal, [1, 0], 1, gone))


def reciprocal(number: int) -> int:
    return 1 // number
