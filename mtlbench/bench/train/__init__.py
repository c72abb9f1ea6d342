"""The training loop, its data path and its speed, against other ways and the device's limits.

docs/performance.md says how each row is measured.
"""

import tempfile
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

import torch

from mtlbench.bench.measure import Result, Row, attempt, largest_noise
from mtlbench.bench.train.compiling import compile_rows
from mtlbench.bench.train.evaluation import evaluation_rows
from mtlbench.bench.train.gather import gather_rows
from mtlbench.bench.train.loop import loop_rows
from mtlbench.bench.train.networks import network_rows
from mtlbench.bench.train.pipeline import pipeline_rows
from mtlbench.bench.train.setting import PAPER_SIZE, Metered, Setting, choose_device, stand_in
from mtlbench.bench.train.speed import speed_rows
from mtlbench.bench.train.step import step_rows
from mtlbench.bench.train.trace import write_trace
from mtlbench.config import DataConfig, ResourcesConfig
from mtlbench.data.adapters import phantom
from mtlbench.data.prepared import Prepared
from mtlbench.errors import DataError, StudyError
from mtlbench.models.backbones import BACKBONES
from mtlbench.training.host import set_up_host

CPU_SIZE = (288, 224)
CPU_BATCH, GPU_BATCH = 2, 16
CPU_BATCHES, GPU_BATCHES = 14, 42
"""Batches of stand-in cases; where speed is measured, some of them are not trained on."""
STRIDES = (8, 16, 32)
WHOLE = ("loop", "gather", "compile", "networks")
OF_A_NETWORK = ("speed", "step", "evaluation", "system")
"""Parts of the bench."""
OF_PEERS = ("networks", "system")
"""Those that nothing is measured in without `peers`."""
Parts = dict[str, Callable[[], list[Row]]]


def run(
    device: str = "auto",
    backbone: str | None = None,
    output_stride: int = 32,
    size: tuple[int, int] | None = None,
    batch_size: int | None = None,
    *,
    only: Collection[str] = (),
    peers: bool = False,
    trace: Path | None = None,
) -> Result:
    """Measure; what is not given is the paper's on a GPU, and on a CPU so small that it ends soon.

    With as many threads as a run has by default. A part that fails costs its own rows. `only` names
    the parts that are wanted (none: all); `trace` is a file for a few steps of the first network.

    Raises:
        StudyError: there is no such device, network or part, the network cannot work on such
            images, or `trace` is no file in a folder.
    """
    wanted = set(only) or {*WHOLE, *OF_A_NETWORK}
    if unknown := wanted - {*WHOLE, *OF_A_NETWORK}:
        known = ", ".join((*WHOLE, *OF_A_NETWORK))
        raise StudyError(f"--part must be one of {known}, but got {min(unknown)!r}")
    if not peers and (empty := set(only) & set(OF_PEERS)):
        raise StudyError(f"--part {min(empty)} needs --peers")
    if trace is not None and (trace.is_dir() or not trace.parent.is_dir()):
        raise StudyError(f"--trace must be a file in a folder that exists, but got {trace}")
    settings = _settings(choose_device(device), backbone, output_stride, size, batch_size)
    first = settings[0]
    set_up_host(ResourcesConfig().threads)
    parts: Parts = {
        "loop": partial(loop_rows, first.device, peers),
        "gather": gather_rows,
        "compile": partial(compile_rows, first),
        "networks": partial(network_rows, first),
    }
    wanted -= set() if peers else set(OF_PEERS)
    rows = _measured({name: part for name, part in parts.items() if name in wanted})
    if trace is not None or wanted & set(OF_A_NETWORK):
        rows += attempt("steps", partial(_real_rows, settings, wanted, trace)) or []
    facts = {"device": first.device_name, "threads": torch.get_num_threads()}
    return Result(
        largest_noise(rows), rows, facts | {"settings": [str(setting) for setting in settings]}
    )


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
    _require_size(size, output_stride)
    batch_size = batch_size or (GPU_BATCH if on_gpu else CPU_BATCH)
    return [Setting(device, name, output_stride, size, batch_size) for name in names]


def _require_size(size: tuple[int, int], output_stride: int) -> None:
    """Feature maps need two pixels for batch norm, and the stand-in cases are phantoms."""
    height, width = size
    if height <= output_stride:
        raise StudyError(
            f"--size must be higher than the output stride of {output_stride}, "
            f"but got {height}x{width}"
        )
    try:
        phantom.read(Path(), DataConfig(size=size))
    except DataError as error:
        raise StudyError(f"--size: {error}") from None


def _real_rows(settings: list[Setting], wanted: set[str], trace: Path | None) -> list[Row]:
    """Of real steps: speed, parts, evaluation, and the whole system beside Lightning's."""
    first = settings[0]
    batches = GPU_BATCHES if first.on_gpu else CPU_BATCHES
    with tempfile.TemporaryDirectory() as scratch:
        prepared = stand_in(Path(scratch), first.size, batches * first.batch_size)
        if trace is not None:
            attempt("trace", partial(write_trace, trace, first, prepared))
        return [row for setting in settings for row in _rows_of(setting, prepared, wanted)]


def _rows_of(setting: Setting, prepared: Prepared, wanted: set[str]) -> Iterator[Row]:
    steps, warm = (32, 12) if setting.on_gpu else (7, 1)
    cohort = Metered(prepared, setting.device, setting.batch_size, steps, warm)
    parts: Parts = {
        "speed": partial(speed_rows, setting, cohort),
        "step": partial(step_rows, setting, cohort),
        "evaluation": partial(evaluation_rows, setting, prepared),
        "system": partial(pipeline_rows, setting, prepared, cohort),
    }
    chosen = {name: part for name, part in parts.items() if name in wanted}
    return _named(setting, _measured(chosen))


def _measured(parts: Parts) -> list[Row]:
    """Their rows; a part that fails costs its own."""
    return [row for name, part in parts.items() for row in attempt(name, part) or []]


def _named(setting: Setting, rows: list[Row]) -> Iterator[Row]:
    """Rows of a backbone carry its name."""
    return (
        row._replace(id=f"{row.id}_{setting.backbone}", what=f"{setting.backbone}, {row.what}")
        for row in rows
    )
