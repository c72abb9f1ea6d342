"""Files with bytes changed at random: each ends in an error of its own or is read as it was.

`MTLBENCH_TEST_MUTATIONS` says how many files of images are made (300), and as many annotations.
"""

import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from mtlbench.config import DataConfig
from mtlbench.data.adapters import read_index
from mtlbench.data.parallel import ordered_map
from mtlbench.data.phantoms.writers import write
from mtlbench.data.pixels import file_tone, read_header, read_image
from mtlbench.data.select import select
from mtlbench.errors import DataError

N = int(os.environ.get("MTLBENCH_TEST_MUTATIONS", "300"))
CONFIG = DataConfig(size=(96, 72), patients=6, phantom_seed=2)
LAYOUTS = ("ddsm", "cbis-ddsm", "inbreast", "vindr", "mias")
JPEG_EDITION = "cbis-ddsm jpeg"
IMAGES = {".dcm", ".dicom", ".pgm", ".ljpeg", ".jpg"}
LIMIT_S, LIMIT_KB = 10, 1_000_000  # seconds of the processor: another program costs none


def mutated(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Change bits, bytes or runs of bytes, cut off, insert, delete or swap."""
    out, at = bytearray(data), rng.randrange(len(data))
    kind = rng.choice(("bits", "bytes", "head", "run", "zeros", "cut", "insert", "delete", "swap"))
    match kind:
        case "bits":
            for _ in range(rng.randint(1, 8)):
                out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
        case "bytes":
            for _ in range(rng.randint(1, 30)):
                out[rng.randrange(len(out))] = rng.randrange(256)
        case "head":
            for _ in range(rng.randint(1, 6)):
                out[rng.randrange(min(len(out), 2000))] = rng.randrange(256)
        case "run":
            out[at : at + 500] = rng.randbytes(len(out[at : at + 500]))
        case "zeros":
            out[at : at + 500] = bytes(len(out[at : at + 500]))
        case "cut":
            del out[at:]
        case "insert":
            out[at:at] = rng.randbytes(rng.randint(1, 60))
        case "delete":
            del out[at : at + rng.randint(1, 60)]
        case _:
            other = rng.randrange(len(data))
            out[at : at + 40], out[other : other + 40] = out[other : other + 40], out[at : at + 40]
    return kind, bytes(out)


class Outcome(NamedTuple):
    """What reading a file came to."""

    word: str
    seconds: float
    peak_kb: int
    torch: bool


def read(item: tuple[Path, Path]) -> Outcome:
    """Read a mutated file and compare with the pixels of the sound one."""
    path, truth = item
    start = time.process_time()
    try:
        read_header(path)
        pixels = read_image(path)
        file_tone(path, "raw")
        word = "same" if np.array_equal(pixels, np.load(truth)) else "changed"
    except DataError as error:
        word = "leaked" if "Secret" in str(error) else "error"
    return Outcome(word, time.process_time() - start, peak_kb(), "torch" in sys.modules)


def peak_kb() -> int:
    """Peak of resident memory; `ru_maxrss` would hold that of the parent at the fork."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def lost(item: tuple[Path, Path]) -> Outcome:
    return Outcome("lost", LIMIT_S, 0, False)


@pytest.fixture(scope="module")
def sets(
    tmp_path_factory: pytest.TempPathFactory,
    write_jpeg_edition: Callable[[Path, DataConfig], None],
) -> Path:
    root = tmp_path_factory.mktemp("sets")
    for layout in LAYOUTS:
        write(root / layout, layout, CONFIG)
    write_jpeg_edition(root / JPEG_EDITION, CONFIG)
    return root


def sound_images(sets: Path) -> list[Path]:
    """Up to four files a layout, as far apart as they go, and the real ones where they are."""
    found = []
    for layout in (*LAYOUTS, JPEG_EDITION):
        files = sorted(p for p in (sets / layout).rglob("*") if p.suffix.lower() in IMAGES)
        found += files[:: max(1, len(files) // 4)][:4]
    if real := os.environ.get("MTLBENCH_TEST_DATA"):
        found += sorted(Path(real).glob("dicom-mg/*.dcm"))
    return found


def test_images(sets: Path, tmp_path: Path) -> None:
    rng = random.Random(0)
    sound = sound_images(sets)
    items, kinds = [], []
    for number in range(N):
        source = sound[number % len(sound)]
        truth = tmp_path / f"{number % len(sound)}.npy"
        if not truth.exists():
            np.save(truth, read_image(source))
        kind, data = mutated(source.read_bytes(), rng)
        path = tmp_path / f"{number}{source.suffix}"
        path.write_bytes(data)
        items.append((path, truth))
        kinds.append((path, kind))
    outcomes = list(ordered_map(read, items, 2, lost))
    words = Counter(outcome.word for outcome in outcomes)
    assert set(words) <= {"same", "changed", "error"}, words
    assert words["error"] > N / 4
    assert max(outcome.seconds for outcome in outcomes) < LIMIT_S
    assert max(outcome.peak_kb for outcome in outcomes) < LIMIT_KB
    assert not any(outcome.torch for outcome in outcomes)
    # Pixels that stand as they are carry no check, but a part that is missing or shifted shows:
    # always, or for the bits of a Huffman code, which may add up by chance, nearly always.
    changed = [k for k, outcome in zip(kinds, outcomes, strict=True) if outcome.word == "changed"]
    shifted = [path.suffix for path, kind in changed if kind in ("cut", "insert", "delete")]
    assert set(shifted) <= {".LJPEG", ".jpg"}
    assert len(shifted) < N / 50


@pytest.mark.parametrize("layout", LAYOUTS)
def test_annotations(sets: Path, tmp_path: Path, layout: str) -> None:
    """One file at a time: an index with findings, or one error for the whole set."""
    rng = random.Random(1)
    root = tmp_path / layout
    shutil.copytree(sets / layout, root)
    files = sorted(
        p for p in root.rglob("*") if p.is_file() and p.suffix.lower() not in {*IMAGES, ".png"}
    )
    for _ in range(N // len(LAYOUTS)):
        path = rng.choice(files)
        data = path.read_bytes()
        path.write_bytes(mutated(data, rng)[1])
        start = time.process_time()
        try:
            index = read_index(layout, root, CONFIG)
            select(index, CONFIG)
            text = " ".join(map(str, index.findings))
        except DataError as error:
            text = str(error)
        assert "Secret" not in text
        assert time.process_time() - start < LIMIT_S
        path.write_bytes(data)
