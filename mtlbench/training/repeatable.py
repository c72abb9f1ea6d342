"""Whether a run repeats its bits, and which operations keep it from that."""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_WARNING = "does not have a deterministic implementation"


@contextmanager
def repeatable(device: torch.device, wanted: bool) -> Iterator[set[str]]:
    """Have a GPU repeat its bits where that is `wanted`, else be as fast as it can.

    Yields a set that fills with the operations of which torch warns that they have no deterministic
    form. A CPU always repeats its bits, so nothing is set there. TF32 is left as torch has it, off
    for products of matrices: it rounds more coarsely, but in the same way every time, and what is
    to be fast runs in bfloat16 anyway.
    """
    found: set[str] = set()
    if device.type != "cuda":
        yield found
        return
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # read when cuBLAS is first used
    before = _switches()
    _switch(wanted, True, wanted, not wanted, False)
    try:
        with _heard(found):
            yield found
    finally:
        _switch(*before)


def _switches() -> tuple[bool, ...]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
    )


def _switch(*states: bool) -> None:
    """Set torch's switches, in the order of `_switches`.

    `fill` would write memory before it is used, for programs that read what they have not written.
    """
    algorithms, warn_only, cudnn, benchmark, fill = states
    torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn, benchmark
    torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


@contextmanager
def _heard(found: set[str]) -> Iterator[None]:
    """Take the names of operations from torch's warnings, which are not shown; others are."""
    with warnings.catch_warnings():
        warnings.filterwarnings("default", f".*{_WARNING}")
        show = warnings.showwarning

        def hear(message: Warning | str, *place: Any, **more: Any) -> None:
            if named := re.match(rf"(\S+) {_WARNING}", str(message)):
                found.add(named[1])
            else:
                show(message, *place, **more)

        warnings.showwarning = hear
        yield
