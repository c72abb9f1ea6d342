"""From a data set's folder to a prepared one: one pass, never half written.

H, W = prepared height and width in pixels.
"""

import fcntl
import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mtlbench
from mtlbench.config import DataConfig
from mtlbench.data.adapters import read_index
from mtlbench.data.check import between_images, equal_pixels, errors
from mtlbench.data.convert import PLACEMENT_COLUMNS, convert
from mtlbench.data.index import CASE_COLUMNS, LESION_COLUMNS, Row
from mtlbench.data.mammogram import Finding, Index, Mammogram
from mtlbench.data.parallel import ordered_map
from mtlbench.data.prepared import FILES, PREPARED_SCHEMA, Prepared, open_prepared
from mtlbench.errors import DataError
from mtlbench.records import digest, file_sha256, sync_folder, write_csv, write_json

Progress = Callable[[int, int], None]
_SHOWN = 10
_OWN_KEYS = {
    "folder": ("columns",),
    "phantom": ("patients", "difficulty", "phantom_seed"),
}
"""Keys of `[data]` that only one adapter reads."""


def prepare(
    adapter_name: str,
    root: Path,
    config: DataConfig,
    out: Path,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Prepared:
    """Write the folder `out` with arrays, tables and recipe; a prepared set there is replaced.

    The bytes do not depend on `jobs`. Images with neither label nor mask are left out.
    `progress` is told (images done, images in all).

    Raises:
        DataError: the data hold errors, or `out` holds something else; nothing is written.
        StudyError: there is no such adapter.
    """
    _check_target(out)
    index = read_index(adapter_name, root, config)
    _refuse(root, [*index.findings, *between_images(index.mammograms)])
    with _scratch_folder(out) as scratch:
        new = scratch / "new"
        new.mkdir()
        recipe = _recipe(adapter_name, config)
        recipe |= _write_contents(index, root, config, new, jobs, progress)
        recipe["files"] = {name: _describe(new / name) for name in FILES}
        write_json(new / "recipe.json", recipe)
        if out.exists():
            out.rename(scratch / "old")
        new.rename(out)
        sync_folder(out.parent)
    return open_prepared(out)


def recipe_key(adapter_name: str, root: Path, config: DataConfig) -> str:
    """Name the prepared data in a cache without reading an image.

    Covers what `[data]` asks of preparation, the sizes and times of the files below `root`, and
    the code that prepares them; equal keys mean equal prepared data.
    """
    files = [] if adapter_name == "phantom" else list(_file_list(root))
    return digest([_recipe(adapter_name, config), files, _code_digest()])


def _recipe(adapter_name: str, config: DataConfig) -> dict[str, Any]:
    keys = ("size", "intensity", "other_lesions", *_OWN_KEYS.get(adapter_name, ()))
    asked = config.model_dump(mode="json", include=set(keys))
    return {
        "schema": PREPARED_SCHEMA,
        "version": mtlbench.__version__,
        "adapter": adapter_name,
    } | {key: asked[key] for key in keys}


def _write_contents(
    index: Index,
    root: Path,
    config: DataConfig,
    folder: Path,
    jobs: int,
    progress: Progress | None,
) -> dict[str, Any]:
    """Write arrays and tables; give what the recipe says of them."""
    used = [m for m in index.mammograms if m.label is not None or m.has_mask]
    if not used:
        raise DataError(f"{root}: at least one image must have a label or a mask, but none has")
    work = partial(convert, config=config)
    images = _ArrayFile(folder / "images.npy", (len(used), *config.size))
    masks = _ArrayFile(folder / "masks.npy", (len(used), *config.size))
    rows, lesions, findings, digests = [], list[Row](), list[Finding](), []
    with images, masks:
        for mammogram, case in zip(used, ordered_map(work, used, jobs), strict=True):
            if case.image_HW is not None and case.mask_HW is not None:
                images.append(case.image_HW, mammogram)
                masks.append(case.mask_HW, mammogram)
            findings += case.findings
            digests.append(case.digest)
            rows.append(case.row)
            lesions += case.lesion_rows
            if progress:
                progress(len(rows), len(used))
    _refuse(root, findings + equal_pixels(used, digests))
    write_csv(folder / "cases.csv", (*CASE_COLUMNS, *PLACEMENT_COLUMNS), rows)
    write_csv(folder / "lesions.csv", LESION_COLUMNS, lesions)
    left_out = [m.image_id for m in index.mammograms if m.label is None and not m.has_mask]
    excluded = [{"image_id": name, "reason": "neither label nor mask"} for name in left_out]
    write_csv(folder / "excluded.csv", ("image_id", "reason"), excluded)
    source = digest([[m.image_id, pixels] for m, pixels in zip(used, digests, strict=True)])
    return {"n": len(used), "dtype": str(images.dtype), "source": source}


class _ArrayFile:
    """An .npy file written row by row: a full disk is an error here, not a killed process."""

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        """Open the file; the type of the first row becomes that of the array."""
        self._stream = path.open("wb")
        self._shape = shape
        self.dtype: np.dtype[Any] | None = None

    def append(self, row_HW: NDArray[Any], mammogram: Mammogram) -> None:
        """Write the next row, which must have the type of those before."""
        if self.dtype is None:
            self.dtype = row_HW.dtype
            header = {"descr": self.dtype.str, "fortran_order": False, "shape": self._shape}
            np.lib.format.write_array_header_1_0(self._stream, header)
        if row_HW.dtype != self.dtype:
            raise DataError(
                f"{mammogram.place}: {mammogram.image_id}: all images must have the same depth, "
                f"but this one is {row_HW.dtype} and those before are {self.dtype}"
            )
        self._stream.write(np.ascontiguousarray(row_HW).data)

    def __enter__(self) -> "_ArrayFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()


def _refuse(root: Path, findings: Sequence[Finding]) -> None:
    """Stop on errors: one line each, the first few, and how many there are."""
    found = errors(findings)
    if not found:
        return
    lines = [f"{root}/{finding}" for finding in found]
    more = len(found) - _SHOWN
    rest = [f"... and {more} more; `mtlbench data check` lists them all"] if more > 0 else []
    raise DataError("\n".join([*lines[:_SHOWN], *rest]))


def _check_target(out: Path) -> None:
    if not out.exists() or (out / "recipe.json").is_file():
        return
    if not out.is_dir() or any(out.iterdir()):
        raise DataError(f"{out}: must be new, empty or a prepared data set, but is something else")


@contextmanager
def _scratch_folder(out: Path) -> Iterator[Path]:
    """Give a locked folder beside `out`, gone afterwards; those of killed processes go first."""
    out.parent.mkdir(parents=True, exist_ok=True)
    for stale in out.parent.glob(f".{glob.escape(out.name)}.*.partial"):
        _remove_unless_locked(stale)
    scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    handle = os.open(scratch, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield scratch
    finally:
        shutil.rmtree(scratch)
        os.close(handle)


def _remove_unless_locked(folder: Path) -> None:
    """Remove a folder whose process is gone; another may be removing it at the same time."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass  # its process is alive
    finally:
        os.close(handle)


def _describe(path: Path) -> dict[str, object]:
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


def _file_list(root: Path) -> Iterator[tuple[str, int, int]]:
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        stat = path.stat()
        yield path.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns


def _code_digest() -> str:
    """Hash this package: what older code prepared is not taken for what this code would."""
    hashed = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        hashed.update(path.read_bytes())
    return hashed.hexdigest()
