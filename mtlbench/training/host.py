"""What a process asks of the machine before it computes: threads, and memory that it keeps."""

import ctypes
import platform
import sys

import torch

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Of malloc.h."""


def set_up_host(threads: int) -> None:
    """Compute with so many threads, and keep the memory that is freed until the process ends.

    By default glibc gives a large block back to the system as soon as it is freed, so that each
    step faults its activations in again: 5 to 14 % of a CPU's step. A process that computes asks
    for the same blocks step after step; within a few steps the heap has holes for all of them.
    Other C libraries are left as they are.
    """
    torch.set_num_threads(threads)
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_MAX, 0)  # no block is a mapping of its own
        libc.mallopt(_TRIM_THRESHOLD, -1)  # the heap's end is not given back
