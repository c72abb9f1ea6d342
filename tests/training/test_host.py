import platform
import subprocess
import sys

import pytest

from mtlbench.training import host

STEPS = """
import resource, sys
import torch
from mtlbench.training.host import set_up_host

if sys.argv[1] == "set up":
    set_up_host(2)
pages = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
faults = []
for step in range(14):
    before = pages()
    kept = [torch.ones(10 * 2**20) for _ in range(3)]
    del kept
    faults.append(pages() - before)
print(torch.get_num_threads(), *faults)
"""
"""Each step fills three blocks of 40 MB, 10240 pages each, and frees them: by default mapped."""


def in_a_process(how):
    command = [sys.executable, "-c", STEPS, how]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [int(number) for number in done.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked")
def test_a_step_finds_the_memory_of_the_one_before():
    """Once the heap has holes for all of its blocks."""
    threads, *faults = in_a_process("set up")
    assert threads == 2
    assert sum(faults[-4:]) < 100
    _, *without = in_a_process("as it is")
    assert min(without[-4:]) > 3 * 10000


def test_another_library_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(host.ctypes, "CDLL", lambda name: pytest.fail("was asked"))
    host.set_up_host(1)
