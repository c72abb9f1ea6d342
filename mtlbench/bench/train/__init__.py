"""The training loop, its data path and its speed, against other ways and the device's limits.

docs/performance.md says how each row is measured.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from mtlbench.bench.measure import Result, Row
from mtlbench.bench.train.compiling import compile_rows
from mtlbench.bench.train.gather import gather_rows
from mtlbench.bench.train.loop import loop_rows
from mtlbench.bench.train.networks import network_rows
from mtlbench.bench.train.pipeline import pipeline_rows
from mtlbench.bench.train.setting import PAPER_SIZE, Metered, Setting, choose_device, stand_in
from mtlbench.bench.train.speed import speed_rows
from mtlbench.bench.train.step import step_rows
from mtlbench.config import ResourcesConfig
from mtlbench.errors import StudyError
from mtlbench.models.backbones import BACKBONES

CPU_SIZE = (288, 224)
CPU_BATCH, GPU_BATCH = 4, 16
STRIDES = (8, 16, 32)
EVALUATED = 2
"""Batches that evaluation is timed on."""


def run(
    device: str = "auto",
    backbone: str | None = None,
    output_stride: int = 32,
    size: tuple[int, int] | None = None,
    batch_size: int | None = None,
    *,
    peers: bool = False,
) -> Result:
    """Measure; what is not given is the paper's on a GPU, and on a CPU so small that it ends soon.

    With as many threads as a run has by default.

    Raises:
        StudyError: there is no such device or network.
    """
    settings = _settings(choose_device(device), backbone, output_stride, size, batch_size)
    first = settings[0]
    torch.set_num_threads(ResourcesConfig().threads)
    noise, rows = loop_rows(first.device, peers)
    rows += gather_rows() + compile_rows(first)
    for setting in settings:
        rows += _named(setting, _real_rows(setting, peers))
    if peers:
        rows += network_rows(first)
    facts = {"device": first.device_name, "threads": torch.get_num_threads()}
    return Result(noise, rows, facts | {"settings": [str(setting) for setting in settings]})


def _settings(
    device: torch.device,
    backbone: str | None,
    output_stride: int,
    size: tuple[int, int] | None,
    batch_size: int | None,
) -> list[Setting]:
    """One a backbone: by default ResNet-18, on a GPU ResNet-50 too."""
    on_gpu = device.type == "cuda"
    if backbone and backbone not in BACKBONES:
        raise StudyError(f"--backbone must be one of {', '.join(BACKBONES)}, but got {backbone!r}")
    if output_stride not in STRIDES:
        raise StudyError(f"--output-stride must be one of {STRIDES}, but got {output_stride}")
    names = [backbone] if backbone else ["resnet18", *(["resnet50"] if on_gpu else [])]
    size = size or (PAPER_SIZE if on_gpu else CPU_SIZE)
    batch_size = batch_size or (GPU_BATCH if on_gpu else CPU_BATCH)
    return [Setting(device, name, output_stride, size, batch_size) for name in names]


def _real_rows(setting: Setting, peers: bool) -> list[Row]:
    """Of real steps: speed, parts, and the whole system beside Lightning's."""
    steps, warm = (60, 20) if setting.on_gpu else (5, 1)
    cases = setting.batch_size * (steps + EVALUATED)
    with tempfile.TemporaryDirectory() as scratch:
        prepared = stand_in(Path(scratch), setting.size, cases)
        cohort = Metered(prepared, setting.device, setting.batch_size, steps, warm)
        rows = speed_rows(setting, cohort) + step_rows(setting, cohort)
        return rows + (pipeline_rows(setting, prepared, cohort) if peers else [])


def _named(setting: Setting, rows: list[Row]) -> Iterator[Row]:
    """Rows of a backbone carry its name."""
    return (
        row._replace(id=f"{row.id}_{setting.backbone}", what=f"{setting.backbone}, {row.what}")
        for row in rows
    )
