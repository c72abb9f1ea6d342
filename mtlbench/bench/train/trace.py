"""A trace of a few real steps, for chrome://tracing or Perfetto."""

from pathlib import Path

from torch.profiler import profile

from mtlbench.bench.train.loops import our_loop
from mtlbench.bench.train.setting import Metered, Setting
from mtlbench.data.prepared import Prepared
from mtlbench.training.repeatable import repeatable

STEPS, WARM = 7, 3


def write_trace(file: Path, setting: Setting, prepared: Prepared) -> None:
    """Of the steps of `train` between the first ones and the last, as torch's profiler has it."""
    cohort = Metered(prepared, setting.device, setting.batch_size, STEPS, WARM)
    profiler = profile()
    switch = iter((profiler.start, profiler.stop))
    cohort.read = lambda: next(switch)() or 0.0
    with repeatable(setting.device, True):
        our_loop(setting, cohort)
    profiler.export_chrome_trace(str(file))
