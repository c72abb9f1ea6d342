"""Real data, small made-up data sets and a tiny study that several tests read."""

import csv
import os
import signal
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray
from PIL import Image

T = TypeVar("T")

# A busy machine is no failure: examples have no time limit.
settings.register_profile("mtlbench", deadline=None)
settings.load_profile("mtlbench")

LONGEST = (
    "test_chaos.py", "test_ray.py", "test_slurm.py", "test_launch.py", "test_cli.py",
    "test_builder.py", "test_figures.py", "test_arm.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files: a core would do one that comes late alone at the end."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(LONGEST)))


@pytest.fixture(scope="session")
def wait_for() -> Callable[[Callable[[], T]], T]:
    """Give what waits until a function gives something true, long enough for a busy machine."""

    def wait(look: Callable[[], T]) -> T:
        until = time.monotonic() + 300
        while not (found := look()):
            assert time.monotonic() < until, "it has not come within 300 s"
            time.sleep(0.02)
        return found

    return wait


@contextmanager
def _handlers_kept() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
    kept = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def handlers_kept() -> Callable[[], AbstractContextManager[None]]:
    """Give a context for what sets handlers of signals in its process, which is ours."""
    return _handlers_kept


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; skips where `MTLBENCH_TEST_DATA` does not name it."""
    folder = os.environ.get("MTLBENCH_TEST_DATA")
    if not folder:
        pytest.skip("MTLBENCH_TEST_DATA does not name the folder of real data")
    return Path(folder)


@contextmanager
def _unpacked(archive: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(archive) as packed:
            if hasattr(tarfile, "data_filter"):  # not in every Python 3.11
                packed.extraction_filter = tarfile.data_filter
            packed.extractall(scratch)
        yield Path(scratch) / archive.name.partition(".")[0]


@pytest.fixture(scope="session")
def mini_mias(real_data: Path) -> Iterator[Path]:
    """238 real mammograms of mini-MIAS with Info.txt."""
    with _unpacked(real_data / "mini-mias.tar.xz") as folder:
        yield folder


@pytest.fixture(scope="session")
def cbis_mass_256(real_data: Path) -> Iterator[Path]:
    """1,231 real mass images of CBIS-DDSM at 256 x 256 with masks and manifest.csv."""
    with _unpacked(real_data / "cbis-mass-256.tar") as folder:
        yield folder


@pytest.fixture
def write_folder(tmp_path: Path) -> Callable[..., Path]:
    """Give a writer of a data set for the adapter `folder`: rows, and image files by name."""

    def write(
        rows: Sequence[Mapping[str, object]], files: Mapping[str, NDArray[np.generic]]
    ) -> Path:
        root = tmp_path / "set"
        for name, pixels in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / name)
        with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return root

    return write


@pytest.fixture
def small_folder(write_folder: Callable[..., Path]) -> Path:
    """Six patients, two images each of 40 x 30, class masks, labels by class."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    files: dict[str, NDArray[np.generic]] = {}
    for number in range(12):
        name = f"i{number:02d}"
        mask = np.zeros((40, 30), dtype=np.uint8)
        if number % 3:
            mask[10:20, 5:15] = 1 + number % 4
        files[f"images/{name}.png"] = rng.integers(0, 256, (40, 30), dtype=np.uint8)
        files[f"masks/{name}.png"] = mask
        rows.append(
            {
                "image_id": name,
                "patient_id": f"p{number // 2}",
                "image": f"images/{name}.png",
                "mask": f"masks/{name}.png",
                "side": "LR"[number % 2],
                "view": "CC",
                "spacing_mm": 0.5,
            }
        )
    return write_folder(rows, files)


_STUDY = """
name = "tiny"
dataset = "phantom"
seeds = [0, 1]
baseline = { auc = "cls", dice = "seg" }
[data]
size = [32, 24]
patients = 24
difficulty = "easy"
[budget]
rule = "per-stage"
epochs = 2
[base.model]
backbone = "small"
output_stride = 8
[base.optim]
batch_size = 8
[[arms]]
name = "cls"
set = { strategy = "cls" }
[[arms]]
name = "seg"
set = { strategy = "seg" }
[[arms]]
name = "sequential"
set = { strategy = "sequential" }
[[arms]]
name = "joint"
set = { strategy = "joint" }
"""


@pytest.fixture(scope="session")
def tiny_study() -> str:
    """The text of a study of four arms and two seeds that trains in seconds."""
    return _STUDY
