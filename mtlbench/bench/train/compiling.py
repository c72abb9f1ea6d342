"""What the second process saves that compiles the network of a training step: its cache."""

import dataclasses
import os
import subprocess
import sys
import tempfile

import torch

from mtlbench.bench.counters import clock
from mtlbench.bench.measure import Row, attempt
from mtlbench.bench.train.setting import Setting
from mtlbench.config import ResourcesConfig
from mtlbench.training.compiling import compiled
from mtlbench.training.host import set_up_host

_CODE = """
from mtlbench.bench.train.compiling import first_step
print(first_step({device!r}, {backbone!r}, {output_stride}, {size}, {batch_size}))
"""


def compile_rows(setting: Setting) -> list[Row]:
    """Three fresh processes, one after the other, with one folder for compiled code.

    The third does what the second did: their difference is the noise. On a CPU the network is the
    small one: a ResNet-18 takes minutes there.
    """
    if not setting.on_gpu:
        setting = dataclasses.replace(setting, backbone="small")
    cold, warm, again = attempt("compile_again", lambda: _thrice(setting)) or (None, None, None)
    part, noise = None, None
    if cold and warm and again:
        part, noise = warm / cold, abs(again / warm - 1)
    what = f"first forward and backward pass of {setting}, compiled"
    return [
        Row("compile_again", f"{what}: in the second process against the first", part,
            "ratio", 0.15, noise=noise),
        Row("compile_cold", f"{what}, nothing cached", cold, "s", None),
        Row("compile_warm", f"{what}, from the cache", warm, "s", None),
    ]  # fmt: skip


def first_step(
    device: str, backbone: str, output_stride: int, size: tuple[int, int], batch_size: int
) -> float:
    """Seconds of the first forward and backward pass in this process."""
    set_up_host(ResourcesConfig().threads)
    setting = Setting(torch.device(device), backbone, output_stride, size, batch_size)
    net, tasks, batch = compiled(setting.model(), "default"), setting.tasks(), setting.batch()
    counts, read = tasks.counts(batch), clock(setting.device)
    began = read()
    torch.autograd.backward(tasks.losses(net, batch, counts)[0])
    return read() - began


def _thrice(setting: Setting) -> tuple[float, float, float]:
    named = dataclasses.asdict(setting) | {"device": str(setting.device)}
    command = [sys.executable, "-c", _CODE.format(**named)]
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"TORCHINDUCTOR_CACHE_DIR": folder}
        cold, warm, again = (_seconds(command, env) for _ in range(3))
    return cold, warm, again


def _seconds(command: list[str], env: dict[str, str]) -> float:
    """What the command prints last; its stderr is ours."""
    done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])
