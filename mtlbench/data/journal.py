"""What a killed preparation leaves: arrays that grow row by row, and a line for each image done.

Every line holds the checksums of its rows, so that a line is believed only where its pixels
reached the disk. H, W = prepared height and width in pixels.
"""

import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mtlbench.data.convert import Converted
from mtlbench.data.mammogram import Finding, Mammogram
from mtlbench.errors import DataError

ARRAYS = ("images", "masks")
_HEADER_BYTES = 128
"""Room for the header of an .npy file of three axes (NEP 1), written when the rows are counted."""


class Journal:
    """Rows of `images.npy` and `masks.npy` in a folder, and `journal.jsonl` beside it."""

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        """Open the folder, and take up what an earlier process wrote in full."""
        folder.mkdir(exist_ok=True)
        self._size = size
        self._dtypes: list[np.dtype[Any] | None] = [None, np.dtype(np.uint8)]
        self._files: list[IO[bytes]] = [_open(folder / f"{name}.npy") for name in ARRAYS]
        self._lines = _open(folder.parent / "journal.jsonl")
        self.entries: list[dict[str, Any]] = []
        self.n_rows = 0
        self._take_up()

    def append(self, mammogram: Mammogram, case: Converted) -> None:
        """Add an image: its rows first, then its line.

        Raises:
            DataError: the image has another depth than those before.
        """
        rows = [row for row in (case.image_HW, case.mask_HW) if row is not None]
        if rows:
            self._check_depth(mammogram, rows[0])
        entry = {
            "image_id": mammogram.image_id,
            "row": case.row,
            "lesions": case.lesion_rows,
            "findings": [finding._asdict() for finding in case.findings],
            "digest": case.digest,
            "dtype": str(rows[0].dtype) if rows else None,
            "sums": [self._write(file, row) for file, row in zip(self._files, rows, strict=False)],
        }
        self._lines.write(json.dumps(entry).encode() + b"\n")
        self._lines.flush()
        self.entries.append(entry)
        self.n_rows += bool(rows)

    def finish(self, keep: Sequence[bool]) -> np.dtype[Any]:
        """Drop the rows that are not to be kept, write the headers, and give the images' type."""
        dtype = self._dtypes[0] or np.dtype(np.uint8)
        for file, kind in zip(self._files, (dtype, np.dtype(np.uint8)), strict=True):
            _compact(file, kind.itemsize * self._size[0] * self._size[1], keep)
            shape = (sum(keep), *self._size)
            file.seek(0)
            header = {"descr": kind.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            assert file.tell() == _HEADER_BYTES
            file.flush()
            os.fsync(file.fileno())
        return dtype

    def close(self) -> None:
        """Close the files."""
        for file in (*self._files, self._lines):
            file.close()

    def _take_up(self) -> None:
        """Believe the lines from the first on whose rows are there as their checksums say."""
        position = 0
        for line in self._lines:
            try:
                entry = json.loads(line)
                dtype = entry["dtype"] and np.dtype(entry["dtype"])
                whole = line.endswith(b"\n") and (not dtype or self._sums(dtype) == entry["sums"])
            except (ValueError, KeyError, TypeError):
                break
            if not whole:
                break
            self.entries.append(entry)
            self.n_rows += bool(dtype)
            self._dtypes[0] = dtype or self._dtypes[0]
            position += len(line)
        self._lines.truncate(position)
        self._lines.seek(position)
        for file, kind in zip(self._files, self._dtypes, strict=True):
            pixels = self.n_rows * self._size[0] * self._size[1]
            end = _HEADER_BYTES + (kind.itemsize * pixels if kind else 0)
            file.truncate(end)
            file.seek(end)

    def _sums(self, dtype: np.dtype[Any]) -> list[int]:
        """Checksums of the next row of each array."""
        pixels = self._size[0] * self._size[1]
        return [
            zlib.crc32(file.read(kind.itemsize * pixels))
            for file, kind in zip(self._files, (dtype, np.dtype(np.uint8)), strict=True)
        ]

    def _write(self, file: IO[bytes], row_HW: NDArray[Any]) -> int:
        data = np.ascontiguousarray(row_HW).data
        file.write(data)
        file.flush()
        return zlib.crc32(data)

    def _check_depth(self, mammogram: Mammogram, image_HW: NDArray[Any]) -> None:
        self._dtypes[0] = self._dtypes[0] or image_HW.dtype
        if image_HW.dtype != self._dtypes[0]:
            raise DataError(
                f"{mammogram.place}: {mammogram.image_id}: all images must have the same depth, "
                f"but this one is {image_HW.dtype} and those before are {self._dtypes[0]}"
            )


def _open(path: Path) -> IO[bytes]:
    """Open for reading and writing, at the start of the rows (of the file where it has none)."""
    path.touch()
    file = path.open("r+b")
    if path.suffix == ".npy":
        file.truncate(max(_HEADER_BYTES, path.stat().st_size))
        file.seek(_HEADER_BYTES)
    return file


def _compact(file: IO[bytes], row_bytes: int, keep: Sequence[bool]) -> None:
    """Move the rows to be kept to the front, in place."""
    target = 0
    for source, kept in enumerate(keep):
        if kept and source != target:
            file.seek(_HEADER_BYTES + source * row_bytes)
            row = file.read(row_bytes)
            file.seek(_HEADER_BYTES + target * row_bytes)
            file.write(row)
        target += kept
    file.flush()
    file.truncate(_HEADER_BYTES + target * row_bytes)


def findings_of(entry: dict[str, Any]) -> list[Finding]:
    """Findings of a journal's line."""
    return [Finding(**finding) for finding in entry["findings"]]
