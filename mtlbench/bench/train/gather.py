"""Batches of prepared images and masks, against data loaders of two workers over files.

Ours is the cohort's gather from the memory map, alone, by as many threads: integers, as the peers'
files hold them (MONAI's cached images are float32). All read from the page cache, at the paper's
size. H W = it.
"""

import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from mtlbench.bench.measure import Ratio, Row, Work, against, attempt, in_turn, ratio_row
from mtlbench.bench.train.setting import PAPER_SIZE, Metered, stand_in
from mtlbench.data.gather import choose_gather
from mtlbench.data.prepared import Prepared

CASES = 96
BATCH = 16
EPOCHS = 5
"""Of ours in a round, since one takes a few milliseconds."""
ROUNDS, WARM = 15, 5
"""The first ones make room in the heap for the batches of both: they are not timed."""
WORKERS = 2
Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Files(Dataset[Any]):
    """A file per image and one per mask, in a folder."""

    folder: Path
    ending: str
    read: Callable[[str], Array]
    count: int

    def __len__(self) -> int:
        """Cases."""
        return self.count

    def arrays(self, index: int) -> tuple[Array, Array]:
        """Image (uint16) and mask (uint8) of a case, HW."""
        return (
            self.read(str(self.folder / f"image{index}{self.ending}")),
            self.read(str(self.folder / f"mask{index}{self.ending}")),
        )

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The same as tensors; the image as the bits of int16, which torch can stack."""
        image_HW, mask_HW = self.arrays(index)
        return torch.from_numpy(image_HW.view(np.int16)), torch.from_numpy(mask_HW)


def gather_rows() -> list[Row]:
    """How many times as fast ours is; a peer that is not installed leaves its row empty."""
    what = (
        f"batches gathered from the memory map by {WORKERS} threads, against {WORKERS} workers of "
        "a DataLoader over"
    )
    whole = f"a batch of the cohort, gathered and made float32 by {WORKERS} threads, an image"
    with tempfile.TemporaryDirectory() as scratch, _threads(WORKERS):
        prepared = stand_in(Path(scratch), PAPER_SIZE, CASES)
        batch_ms = attempt("batch_ms", partial(_batch_ms, prepared))
        rows = [
            ratio_row(f"gather_{name}", f"{what} {peer}", bar,
                      partial(_times_as_fast, prepared, make), "higher")
            for name, (peer, bar, make) in PEERS.items()
        ]  # fmt: skip
        return [*rows, Row("batch_ms", whole, batch_ms, "ms", None)]


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Of torch in this process; a data loader's workers have one each."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _batch_ms(prepared: Prepared) -> float:
    cohort = Metered(prepared, torch.device("cpu"), BATCH, CASES // BATCH)
    work = partial(_exhaust, lambda: cohort.eval_batches(cohort.split["train"], BATCH))
    return 1e3 * median(in_turn((work,), ROUNDS)[0]) / CASES


def _exhaust(batches: Callable[[], Iterable[object]]) -> None:
    deque(batches(), maxlen=0)


def _times_as_fast(prepared: Prepared, make: Callable[[Prepared], Dataset[Any]]) -> Ratio:
    theirs, ours = _loaded(make(prepared)), _gathered(prepared)
    in_turn((theirs, ours), WARM)
    found = against(theirs, ours, ROUNDS)
    return found._replace(value=found.value * EPOCHS)


def _gathered(prepared: Prepared) -> Work:
    """Epochs in batches by our gather."""
    gather, _ = choose_gather(prepared, torch.device("cpu"), 0)
    case_M = np.tile(np.random.default_rng(0).permutation(CASES), EPOCHS)
    return partial(_exhaust, lambda: gather(case_M, [BATCH] * (len(case_M) // BATCH)))


def _loaded(dataset: Dataset[Any]) -> Work:
    """An epoch in batches by a data loader, whose workers stay."""
    loader = DataLoader(
        dataset, BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    return partial(_exhaust, lambda: loader)


def png_files(prepared: Prepared) -> Files:
    """Images of 16 bits and masks of 8, compressed as OpenCV does."""
    import cv2

    return _files(prepared, ".png", lambda path, array: cv2.imwrite(path, array), _read_png)


def b2nd_files(prepared: Prepared) -> Files:
    """Compressed as by nnU-Net v2: zstd at level 8, each file mapped into memory."""
    import blosc2

    how = {"codec": blosc2.Codec.ZSTD, "clevel": 8}
    return _files(
        prepared, ".b2nd",
        lambda path, array: blosc2.asarray(np.ascontiguousarray(array), urlpath=path, cparams=how),
        _read_b2nd,
    )  # fmt: skip


def monai_cache(prepared: Prepared) -> Dataset[Any]:
    """A file per case of the standardised image and its mask, as torch saves tensors."""
    from monai.data import PersistentDataset
    from monai.transforms import Lambda

    load = Lambda(partial(_standardised, prepared.root), track_meta=False)
    dataset: Dataset[Any] = PersistentDataset(range(CASES), load, prepared.root / "monai")
    return dataset


def _files(
    prepared: Prepared, ending: str, write: Callable[[str, Array], object],
    read: Callable[[str], Array],
) -> Files:  # fmt: skip
    arrays = {"image": prepared.images, "mask": prepared.masks}
    with ThreadPoolExecutor() as pool:
        for kind, array_NHW in arrays.items():
            names = [str(prepared.root / f"{kind}{i}{ending}") for i in range(len(array_NHW))]
            deque(pool.map(write, names, array_NHW), maxlen=0)
    return Files(prepared.root, ending, read, len(prepared.images))


def _read_png(path: str) -> Array:
    import cv2

    array: Array = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    return array


def _read_b2nd(path: str) -> Array:
    import blosc2

    array: Array = blosc2.open(path, mode="r", mmap_mode="r", dparams={"nthreads": 1})[:]
    return array


def _standardised(folder: Path, index: int) -> dict[str, torch.Tensor]:
    image_HW, mask_HW = (
        np.load(folder / name, mmap_mode="r")[index] for name in ("images.npy", "masks.npy")
    )
    pixels_HW = image_HW.astype(np.float32)
    standard_HW = (pixels_HW - pixels_HW.mean()) / pixels_HW.std()
    return {"image": torch.from_numpy(standard_HW)[None], "mask": torch.from_numpy(mask_HW.copy())}


PEERS: dict[str, tuple[str, float, Callable[[Prepared], Dataset[Any]]]] = {
    "png": ("16-bit PNG by OpenCV", 20.0, png_files),
    "monai": ("cached tensors of MONAI's PersistentDataset", 10.0, monai_cache),
    "b2nd": ("blosc2 files as of nnU-Net v2", 10.0, b2nd_files),
}
"""What is read, the bar, and what writes it."""
