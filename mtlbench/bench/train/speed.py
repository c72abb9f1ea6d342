"""How many images a second a network trains on, and how near that is to what the device could.

Images come from the cohort, augmented, and the loop is `train`.
"""

from functools import partial

import torch

from mtlbench.bench.counters import clock
from mtlbench.bench.measure import Ratio, Row, against, attempt, ratio_row, told
from mtlbench.bench.train.loops import our_loop
from mtlbench.bench.train.roofline import H100, Limit, Peaks, limit, peaks_of
from mtlbench.bench.train.setting import PAPER_SIZE, Metered, Setting
from mtlbench.training.repeatable import repeatable

MODES = {"eager": "off", "graphs": "reduce-overhead"}
H100_IMAGES_S = {"resnet18": 880.0, "resnet50": 245.0}
"""60 % of the compiled limit at the paper's size, stride 32, batch 16; the aim is 75 %."""
_LIMITS = ("limit_eager", "limit_compiled", "mfu")


def speed_rows(setting: Setting, cohort: Metered) -> list[Row]:
    """Images a second, compiled too on a GPU, and their part of the limit."""
    modes = MODES if setting.on_gpu else {"eager": "off"}
    seconds = {
        name: attempt(f"speed_{name}", partial(_anew, setting, cohort, mode))
        for name, mode in modes.items()
    }
    found = {name: 1 / image for name, image in seconds.items() if image}
    best = max(found, key=lambda name: found[name], default="eager")
    return [
        Row("speed", f"images a second of train(), {best}", found.get(best), "images/s",
            _bar(setting), "higher"),
        *(
            Row(f"speed_{name}", f"the same, {name}", found.get(name), "images/s", None, "higher")
            for name in MODES
        ),
        _repeating(setting, cohort),
        *_limit_rows(setting, found.get(best)),
    ]  # fmt: skip


def image_s(setting: Setting, cohort: Metered, mode: str = "off", *, repeat: bool = True) -> float:
    """Of an image, in seconds of `train`; `repeat`: a GPU repeats its bits, as by default."""
    cohort.read = clock(setting.device)
    with repeatable(setting.device, repeat):
        return our_loop(setting, cohort, mode) / setting.batch_size


def _anew(setting: Setting, cohort: Metered, mode: str) -> float:
    torch.compiler.reset()  # what was compiled before holds memory
    return image_s(setting, cohort, mode)


def _repeating(setting: Setting, cohort: Metered) -> Row:
    what = "time of an eager step that repeats its bits, against one that need not (on a GPU)"
    if not setting.on_gpu:
        return Row("deterministic", what, None, "ratio", 1.15)
    return ratio_row("deterministic", what, 1.15, partial(cost_of_repeating, setting, cohort))


def cost_of_repeating(setting: Setting, cohort: Metered) -> Ratio:
    """Of the time of an eager step."""
    repeating, free = (partial(image_s, setting, cohort, repeat=repeat) for repeat in (True, False))
    return against(repeating, free, setting.rounds, told)


def _bar(setting: Setting) -> float | None:
    paper = (32, PAPER_SIZE, 16)
    if (setting.output_stride, setting.size, setting.batch_size) != paper:
        return None
    return H100_IMAGES_S.get(setting.backbone) if setting.device_name == H100 else None


def _limit_rows(setting: Setting, speed: float | None) -> list[Row]:
    measured = attempt("limit", partial(_limit, setting))
    if measured is None:
        return [Row(row_id, "", None, "%", None, "higher") for row_id in _LIMITS]
    peaks, most = measured
    of = (
        f"part of the limit at {peaks.flops / 1e12:.3g} TFLOP/s and "
        f"{peaks.bandwidth / 1e9:.3g} GB/s ({peaks.source}): "
    )
    seconds = (most.eager_s, most.compiled_s, most.flops / peaks.flops)
    whats = (
        "every operation a pass over memory",
        "elementwise operations fused",
        f"FLOPs alone (MFU), {most.flops / 1e9:.3g} GFLOP an image",
    )
    return [
        Row(row_id, of + what, speed and 100 * least_s * speed, "%", None, "higher")
        for row_id, what, least_s in zip(_LIMITS, whats, seconds, strict=True)
    ]


def _limit(setting: Setting) -> tuple[Peaks, Limit]:
    peaks = peaks_of(setting.device, setting.dtype)
    return peaks, limit(setting, peaks)
