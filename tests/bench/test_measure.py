import pytest

from mtlbench.bench.measure import attempt, in_turn, noise_of, quotient, ratio


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


def test_what_cannot_be_done_is_said_on_stderr(capsys):
    assert attempt("row", lambda: 3) == 3
    assert attempt("row", lambda: 1 / 0) is None
    streams = capsys.readouterr()
    assert streams.err == "row is not measured: ZeroDivisionError: division by zero\n"
    assert streams.out == ""
