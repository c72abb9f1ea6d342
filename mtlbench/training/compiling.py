"""Whether a run's network is compiled, by `torch.compile`, and where the compiled code is kept."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from mtlbench.errors import StudyError
from mtlbench.records import digest
from mtlbench.training.provenance import device_name

SAVED = 0.25
"""Of a step: by memory traffic, fusing makes it 1.26 to 1.36 times as fast on an H100."""
COLD_S, WARM_S = 130.0, 10.0
"""Compiling a ResNet for training: anew (pytorch#111182), and from the cache."""
SHORT_S = 0.015
"""Below it a step waits for the host, which launches its kernels one by one: a ResNet-50's took 13
to 14 ms on a V100 for any batch of 1 to 16 images. CUDA graphs launch them as one."""


class Choice(NamedTuple):
    """A mode of `torch.compile`, or `off`, and why it is that."""

    mode: str
    why: str


def choose_mode(
    asked: str,
    device: torch.device,
    ranks: int,
    steps: int,
    parts: int,
    part_s: Callable[[], float],
    *,
    warm: bool,
) -> Choice:
    """The mode of a run of so many steps, each in so many parts.

    `asked` is `resources.compile`; `part_s` measures a part that is not compiled, where `auto` has
    to know it. `warm`: compiled code for it is there already.

    Raises:
        StudyError: CUDA graphs are asked for together with `optim.accumulate`.
    """
    if asked == "reduce-overhead" and parts > 1:
        raise StudyError(
            'resources.compile must not be "reduce-overhead" where optim.accumulate is above 1: '
            "the graph of a part would write over the gradients of the one before"
        )
    if asked != "auto":
        return Choice(asked, "asked for")
    if device.type != "cuda":
        return Choice("off", "a CPU gains nothing by it")
    if ranks > 1:
        return Choice("off", "the ranks meet in every normalisation, so little can be fused")
    seconds, compile_s = parts * part_s(), WARM_S if warm else COLD_S
    saved_s = SAVED * seconds * steps
    why = (
        f"{steps} steps of {1e3 * seconds:.1f} ms would save {saved_s:.0f} s, "
        f"compiling costs {compile_s:.0f} s"
    )
    if saved_s <= compile_s:
        return Choice("off", why)
    return Choice("reduce-overhead" if parts == 1 and seconds < SHORT_S else "default", why)


def compiled(net: nn.Module, mode: str) -> nn.Module:
    """The network to train: itself where the mode is `off`, else one that shares all its weights.

    Parts of a batch have one size or two, each compiled by itself. The loss, the optimiser and
    evaluation are left as they are: evaluation would need code for each size of its own.
    """
    if mode == "off":
        return net
    return cast("nn.Module", torch.compile(net, mode=mode, dynamic=False))


def code_folder(
    cache: Path, config: Mapping[str, Any], size: tuple[int, int], cases: int, device: torch.device
) -> Path:
    """Where the compiled code of a run's network is kept: it is there once a run has made it.

    In the cache, so that all workers and later studies share it and nobody commits it with a
    study's results.
    """
    stage = config["stages"][-1]
    tasks = [stage["cls_weight"] > 0, stage["seg_weight"] > 0]
    kind = [config["model"], tasks, size, cases, device_name(device), torch.__version__]
    return cache / "compiled" / digest(kind)


def use_folder(folder: Path) -> None:
    """Have torch keep compiled code there, from now on."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
