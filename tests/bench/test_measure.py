import pytest

from mtlbench.bench.measure import (
    Row,
    against,
    attempt,
    in_turn,
    noise_of,
    quotient,
    ratio,
    ratio_row,
    told,
)


def test_works_take_turns_and_the_order_turns_round():
    done = []
    works = [lambda name=name: done.append(name) for name in "abc"]
    times = in_turn(works, rounds=3, by=lambda work: work() or float(len(done)))
    assert "".join(done) == "abc" + "abc" + "cba" + "abc"
    assert times == [[4, 9, 10], [5, 8, 11], [6, 7, 12]]


def test_a_ratio_is_the_median_of_the_rounds():
    assert quotient([2, 9, 4], [1, 3, 4]) == 2
    ours, theirs = iter([0, 2.0, 9.0, 4.0]), iter([0, 1.0, 3.0, 4.0])
    work, peer = (lambda: next(ours)), (lambda: next(theirs))
    assert ratio(work, peer, rounds=3, by=lambda work: work()) == 2


def test_noise_is_the_distance_from_one():
    own = iter([0, 0, 1.0, 1.25, 1.0, 1.25])
    assert noise_of(lambda: next(own), rounds=2, by=lambda work: work()) == pytest.approx(
        abs((1 / 1.25 + 1.25 / 1) / 2 - 1)
    )


def test_a_ratio_has_the_noise_of_its_base():
    """Of three rounds: the base takes 1, 2, 4 and then 2, 4, 4; the work 3, 8, 8."""
    base, work = iter([0, 0, 1.0, 2.0, 4.0, 2.0, 4.0, 4.0]), iter([0, 3.0, 8.0, 8.0])
    found = against(lambda: next(work), lambda: next(base), rounds=3, by=told)
    # the order turns round: the second round's first time of the base is the later one's
    assert found == (quotient([3, 8, 8], [1, 2, 4]), 1.0)


@pytest.mark.parametrize(
    ("value", "own", "bench", "better", "holds"),
    [
        (1.04, None, 0.05, "lower", True),
        (1.04, None, 0.03, "lower", False),
        (1.04, 0.05, 0.03, "lower", True),
        (1.04, 0.03, 0.05, "lower", False),
        (0.96, 0.05, 0.0, "higher", True),
        (0.94, 0.05, 0.09, "higher", False),
        (1.0, 0.0, 0.5, "lower", True),  # what is counted is judged on a busy machine, too
        (1.0, 0.11, 0.0, "lower", None),
        (1.0, None, 0.11, "lower", None),
        (1.0, None, None, "lower", None),  # nothing was timed against itself
    ],
)
def test_a_row_is_held_to_its_own_noise_where_it_has_one(value, own, bench, better, holds):
    assert Row("a", "", value, "ratio", 1.0, better, own).holds(bench) is holds


def test_a_ratio_that_cannot_be_measured_leaves_its_row_empty(capsys):
    turns = iter(range(1, 100))
    row = ratio_row(
        "a", "done", 2.0, lambda: against(lambda: next(turns), lambda: 1, 1, told), "higher"
    )
    assert row == Row("a", "done", 2.0, "ratio", 2.0, "higher", 0.0)
    empty = ratio_row("a", "done", 2.0, lambda: 1 / 0)
    assert empty == Row("a", "done", None, "ratio", 2.0)
    assert "a is not measured: ZeroDivisionError" in capsys.readouterr().err


def test_what_cannot_be_done_is_said_on_stderr(capsys):
    assert attempt("row", lambda: 3) == 3
    assert attempt("row", lambda: 1 / 0) is None
    streams = capsys.readouterr()
    assert streams.err == "row is not measured: ZeroDivisionError: division by zero\n"
    assert streams.out == ""
