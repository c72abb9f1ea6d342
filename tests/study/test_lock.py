import multiprocessing
import os
import socket

from mtlbench.errors import BusyError
from mtlbench.study.lock import hold

DRIVERS = 16


def try_to_hold(folder, ready, queue):
    ready.wait()
    try:
        with hold(folder):
            queue.put(("held", os.getpid()))
            ready.wait()
    except BusyError as error:
        queue.put((str(error), os.getpid()))
        ready.wait()


def test_of_drivers_that_start_at_once_one_wins_and_the_others_say_who(tmp_path):
    context = multiprocessing.get_context("fork")
    queue, ready = context.Queue(), context.Barrier(DRIVERS)
    drivers = [
        context.Process(target=try_to_hold, args=(tmp_path / "study", ready, queue))
        for _ in range(DRIVERS)
    ]
    for driver in drivers:
        driver.start()
    answers = [queue.get(timeout=300) for _ in drivers]
    for driver in drivers:
        driver.join()
    (winner,) = [pid for said, pid in answers if said == "held"]
    refusals = [said for said, _ in answers if said != "held"]
    assert len(refusals) == DRIVERS - 1
    who = f"pid {winner} on host {socket.gethostname()}"
    assert all(who in said for said in refusals), refusals


def test_the_lock_is_free_again(tmp_path):
    for _ in range(2):
        with hold(tmp_path):
            pass
    assert not (tmp_path / "driver.json").exists()
