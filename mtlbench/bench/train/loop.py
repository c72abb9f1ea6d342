"""What the training loop adds to a step, against a bare loop by hand.

The network is so small that it shows. Operations and host waits are counted, not timed; on a CPU
time is this process's own, which other programs hardly lengthen.
"""

import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

import torch

from mtlbench.bench.counters import Operations, clock, host_waits
from mtlbench.bench.measure import Row, attempt, in_turn, quotient
from mtlbench.bench.train.loops import Loop, bare_loop, lightning_loop, our_loop
from mtlbench.bench.train.setting import Metered, Setting, stand_in

SIZE = (32, 24)
BATCH = 2
STEPS = 50
ROUNDS = 15


def loop_rows(device: torch.device, peers: bool) -> tuple[float, list[Row]]:
    """The noise (the bare loop's time against itself), and the rows."""
    setting = Setting(device, "small", 8, SIZE, BATCH)
    with tempfile.TemporaryDirectory() as scratch:
        prepared = stand_in(Path(scratch), SIZE, BATCH * STEPS + 1)
        ready = Metered(prepared, device, BATCH, STEPS).make_ready()
        noise, times = _times(setting, ready)
        rows = [
            *_operations(setting, ready),
            Row("loop_syncs", "host waits of a step that logs nothing, augmentation included",
                waits(setting, Metered(prepared, device, BATCH, STEPS)), "count", 0.0),
            *times,
            *(_against_lightning(setting, ready) if peers else ()),
        ]  # fmt: skip
    return noise, rows


def waits(setting: Setting, cohort: Metered) -> float:
    """Of a step of `train`, with what the cohort does for it."""
    with host_waits(setting.device) as cohort.read:
        return our_loop(setting, cohort)


def kernels(setting: Setting, cohort: Metered, loop: Loop = our_loop) -> float:
    """Operations of a step."""
    with Operations() as operations:
        cohort.read = lambda: operations.kernels
        return loop(setting, cohort)


def _operations(setting: Setting, ready: Metered) -> list[Row]:
    ours, bare = (kernels(setting, ready, loop) for loop in (our_loop, bare_loop))
    what = f"operations of a step, {ours:g} against {bare:g} (neither views nor allocations)"
    return [Row("loop_ops", what, ours / bare, "ratio", 1.05)]


def _times(setting: Setting, ready: Metered) -> tuple[float, list[Row]]:
    bare, ours, again = _in_turn(setting, ready, bare_loop, our_loop, bare_loop)
    what = f"time of a step of a tiny network against a bare loop's {1e3 * median(bare):.2f} ms"
    row = Row("loop_time", what, quotient(ours, bare), "ratio", 1.10)
    return abs(quotient(again, bare) - 1), [row]


def _against_lightning(setting: Setting, ready: Metered) -> list[Row]:
    def added_ms() -> list[float]:
        """What our loop and Lightning's add to a step of a bare one."""
        bare, *loops = _in_turn(setting, ready, bare_loop, our_loop, lightning_loop)
        return [1e3 * median(a - b for a, b in zip(times, bare, strict=True)) for times in loops]

    ours, theirs = attempt("loop_lightning", added_ms) or (None, None)
    part = ours / theirs if ours is not None and theirs else None
    return [
        Row("loop_added_ms", "what our loop adds to a bare loop's step", ours, "ms", None),
        Row("lightning_added_ms", "what Lightning's trainer adds to it", theirs, "ms", None),
        Row("loop_lightning", "our added time against Lightning's", part, "ratio", 0.10),
    ]


def _in_turn(setting: Setting, ready: Metered, *loops: Loop) -> list[list[float]]:
    """Seconds of a step of each loop, round by round."""
    ready.read = clock(setting.device) if setting.on_gpu else time.process_time
    works = [partial(loop, setting, ready) for loop in loops]
    return in_turn(works, ROUNDS, by=lambda work: float(work()))
