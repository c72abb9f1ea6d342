"""What the training loop adds to a step, against a bare loop by hand.

The network is so small that it shows. Operations and host waits are counted, not timed; on a CPU
time is this process's own, which other programs hardly lengthen.
"""

import tempfile
from functools import partial
from pathlib import Path
from statistics import median

import torch

from mtlbench.bench.counters import Operations, host_waits, own_clock
from mtlbench.bench.measure import Ratio, Row, against, attempt, in_turn, ratio_row, told
from mtlbench.bench.train.loops import Loop, bare_loop, lightning_loop, our_loop
from mtlbench.bench.train.setting import Metered, Setting, stand_in

SIZE = (32, 24)
BATCH = 2
STEPS = 50
ROUNDS = 15


def loop_rows(device: torch.device, peers: bool) -> list[Row]:
    """Operations, host waits and time of a step; with `peers`, against Lightning's trainer too."""
    setting = Setting(device, "small", 8, SIZE, BATCH)
    with tempfile.TemporaryDirectory() as scratch:
        prepared = stand_in(Path(scratch), SIZE, BATCH * STEPS + 1)
        ready = Metered(prepared, device, BATCH, STEPS).make_ready()
        return [
            _operations(setting, ready),
            Row("loop_syncs", "host waits of a step that logs nothing, augmentation included",
                waits(setting, Metered(prepared, device, BATCH, STEPS)), "count", 0.0, noise=0.0),
            ratio_row("loop_time", "time of a step of a tiny network against a bare loop's", 1.10,
                      partial(_time, setting, ready)),
            *(_against_lightning(setting, ready) if peers else ()),
        ]  # fmt: skip


def waits(setting: Setting, cohort: Metered) -> float:
    """Of a step of `train`, with what the cohort does for it."""
    with host_waits(setting.device) as cohort.read:
        return our_loop(setting, cohort)


def kernels(setting: Setting, cohort: Metered, loop: Loop = our_loop) -> float:
    """Operations of a step."""
    with Operations() as operations:
        cohort.read = lambda: operations.kernels
        return loop(setting, cohort)


def _operations(setting: Setting, ready: Metered) -> Row:
    ours, bare = (kernels(setting, ready, loop) for loop in (our_loop, bare_loop))
    what = f"operations of a step, {ours:g} against {bare:g} (neither views nor allocations)"
    return Row("loop_ops", what, ours / bare, "ratio", 1.05, noise=0.0)


def _time(setting: Setting, ready: Metered) -> Ratio:
    ready.read = own_clock(setting.device)
    ours, bare = (partial(loop, setting, ready) for loop in (our_loop, bare_loop))
    return against(ours, bare, ROUNDS, told)


def _against_lightning(setting: Setting, ready: Metered) -> list[Row]:
    added = attempt("loop_lightning", partial(_added, setting, ready))
    ours_ms, theirs_ms, nothing_ms = added or (None, None, None)
    return [
        Row("loop_added_ms", "what our loop adds to a bare loop's step", ours_ms, "ms", None),
        Row("lightning_added_ms", "what Lightning's trainer adds to it", theirs_ms, "ms", None),
        Row("bare_added_ms", "what a bare loop adds to it: noise", nothing_ms, "ms", None),
    ]  # fmt: skip


def _added(setting: Setting, ready: Metered) -> tuple[float, float, float]:
    """Milliseconds that our loop, Lightning's and the bare one again add to the bare one's step."""
    ready.read = own_clock(setting.device)
    loops = (bare_loop, our_loop, lightning_loop, bare_loop)
    bare, *others = in_turn([partial(loop, setting, ready) for loop in loops], ROUNDS, told)
    ours, theirs, nothing = (
        1e3 * median(a - b for a, b in zip(times, bare, strict=True)) for times in others
    )
    return ours, theirs, nothing
