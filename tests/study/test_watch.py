import os
import time

import pytest

from mtlbench.records import write_csv
from mtlbench.study.watch import Watch, read_history
from mtlbench.training.contact import HEARTBEAT
from mtlbench.training.loop import HISTORY

HEADER = ",".join(HISTORY)


def test_a_run_is_silent_since_its_last_sign_but_not_while_it_waits(tmp_path):
    watch, beat = Watch(tmp_path), tmp_path / HEARTBEAT
    assert watch.silent_s() == 0
    beat.touch()
    os.utime(beat, times=(0, time.time() - 60))
    assert watch.silent_s() == pytest.approx(60, abs=5)
    watch.begin()
    assert watch.silent_s() == 0, "the sign is of an attempt before"
    beat.touch()
    assert 0 <= watch.silent_s() < 5


def test_rows_are_new_once(tmp_path):
    watch, rows = Watch(tmp_path), [{"stage": "joint", "epoch": n, "step": 7 * n} for n in (1, 2)]
    assert watch.new_rows() == []
    for count in (1, 2):
        write_csv(tmp_path / "history.csv", HISTORY, rows[:count])
        (row,) = watch.new_rows()
        assert (row["stage"], row["epoch"], row["step"], row["val_auc"]) == (
            "joint", float(count), 7.0 * count, None
        )  # fmt: skip
        assert watch.new_rows() == []


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"stage,epo\nx,y\0\n",
        HEADER.encode() + b"\nx,y\0" + b"," * 11 + b"\n",
        HEADER.encode() + b"\njoint,1,7\n",
        HEADER.encode() + b"\n\xff\xfe\n",
    ],
)
def test_what_cannot_be_read_as_rows_is_none_until_it_is_written_again(tmp_path, damage):
    watch, path = Watch(tmp_path), tmp_path / "history.csv"
    path.write_bytes(damage)
    assert read_history(path) == watch.new_rows() == []
    write_csv(path, HISTORY, [{"stage": "joint", "epoch": n, "step": n} for n in (1, 2, 3)])
    assert [row["epoch"] for row in watch.new_rows()] == [1, 2, 3]
