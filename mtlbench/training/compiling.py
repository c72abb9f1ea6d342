"""Whether a run's network is compiled, by `torch.compile`, and where the compiled code is kept."""

import contextlib
import os
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from mtlbench.errors import StudyError
from mtlbench.records import digest, read_json, write_json
from mtlbench.training.provenance import device_name

SAVED = 0.30
"""Of a step: fused, and launched as one CUDA graph; 0.28 and 0.30 of a ResNet-18's and a
ResNet-50's at the paper's size on an H200. Of smaller steps, which wait for the host, more."""
COMPILE_S = 25.0
"""Of a run where three seeds share the code: a ResNet takes 23 to 41 s anew, less from the cache.
"""

FOLDER = "TORCHINDUCTOR_CACHE_DIR"
KERNELS = "mtlbench.training.kernels"


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
) -> Choice:
    """The mode of a run of so many steps, each in so many parts.

    `asked` is `resources.compile`; `part_s` gives the time of a part that is not compiled, where
    `auto` has to know it.

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
    if not can_compile(device):
        return Choice("off", "triton and what it compiles with are not all there")
    seconds = parts * part_s()
    saved_s = SAVED * seconds * steps
    why = (
        f"{steps} steps of {1e3 * seconds:.1f} ms would save {saved_s:.0f} s, "
        f"compiling costs {COMPILE_S:.0f} s"
    )
    if saved_s <= COMPILE_S:
        return Choice("off", why)
    return Choice("reduce-overhead" if parts == 1 else "default", why)


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


def measured_once(folder: Path, measure: Callable[[], float]) -> float:
    """Seconds that the first run which needs them has measured, kept beside its code.

    So all runs of a kind choose the same mode: it changes the last bits, which must depend neither
    on the moment nor on the worker.
    """
    kept = folder.with_suffix(".json")
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        own = kept.with_suffix(f".{os.getpid()}")
        write_json(own, {"seconds": measure()})
        with contextlib.suppress(FileExistsError):  # another was first: its figure holds
            kept.hardlink_to(own)
        own.unlink()
    return float(read_json(kept)["seconds"])


def use_folder(folder: Path) -> None:
    """Have torch keep compiled code there, from now on.

    Code of another kind is forgotten: torch keeps no more than 8 forms of a function, and runs what
    comes after them uncompiled.
    """
    if os.environ.get(FOLDER) != str(folder):
        torch.compiler.reset()
    os.environ[FOLDER] = str(folder)


@cache
def can_compile(device: torch.device) -> bool:
    """Whether code for this GPU can be compiled here: a small kernel is, once.

    Triton needs a C compiler and Python's headers, too. Warns where they are not all there.
    """
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    try:
        one_111 = torch.zeros((1, 1, 1), dtype=torch.uint8, device=device)
        import_module(KERNELS).joint_counts(one_111, one_111, 1)
    except Exception as error:  # whatever a compiler's absence raises
        why = f"{type(error).__name__}: {error}"
        warnings.warn(f"nothing can be compiled for {device}, which is slower: {why}", stacklevel=2)
        return False
    return True


@cache
def kernels_of(device: torch.device) -> ModuleType | None:
    """`training/kernels.py` where they can be compiled, on CUDA; else torch's operations serve."""
    return import_module(KERNELS) if can_compile(device) else None
