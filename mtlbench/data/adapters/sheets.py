"""Tables of annotations as distributed, row by row: CSV, and Excel's .xls.

A row that cannot be read is a finding, and those after it are still read.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import xlrd

from mtlbench.data.manifest import ManifestRow
from mtlbench.errors import DataError

Line = tuple[int, list[str] | None]
"""Number from 1, and the cells; None where they cannot be told apart."""
_MAX_BYTES = 2**26
"""Size up to which a table is read: the largest known has 20,486 rows in 4 MB."""
_MAX_CELL = 1000


def read_csv_rows(
    root: Path, path: Path, columns: Mapping[str, str], delimiter: str = ","
) -> Iterator[ManifestRow]:
    """Yield the rows of a CSV file, a line each; blank lines go.

    Args:
        root: Findings name the file relative to it.
        path: The file, in UTF-8; what is not comes as U+FFFD.
        columns: Their column → ours; all must be there, others are not read.
        delimiter: What stands between two cells.

    Raises:
        DataError: the file is absent or lacks a column.
    """
    text = _content(path).decode("utf-8-sig", errors="replace")
    lines = ((n, _cells(line, delimiter)) for n, line in enumerate(io.StringIO(text), start=1))
    yield from _named(root, path, lines, columns)


def read_xls_rows(root: Path, path: Path, columns: Mapping[str, str]) -> Iterator[ManifestRow]:
    """Yield the rows of the first sheet of an .xls file; whole numbers come without `.0`.

    Raises:
        DataError: the file is absent, damaged or lacks a column.
    """
    content = _content(path)
    quiet = io.StringIO()  # xlrd writes its warnings to stdout
    try:
        book = xlrd.open_workbook(file_contents=content, logfile=quiet, ragged_rows=True)
        sheet = book.sheet_by_index(0)
        rows = [sheet.row_values(at) for at in range(sheet.nrows)]
    except Exception as error:  # xlrd lets its parser's own through
        raise DataError(f"{path}: damaged .xls file ({type(error).__name__})") from None
    width = len(rows[0]) if rows else 0
    padded = ((row + [""] * width)[:width] for row in rows)
    lines = ((n, [_text(cell) for cell in row]) for n, row in enumerate(padded, start=1))
    yield from _named(root, path, lines, columns)


def _text(cell: Any) -> str:
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > _MAX_BYTES:
        raise DataError(f"{path}: must have at most {_MAX_BYTES} bytes, but has more")
    return content


def _cells(line: str, delimiter: str) -> list[str] | None:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return None


def _named(
    root: Path, path: Path, lines: Iterable[Line], columns: Mapping[str, str]
) -> Iterator[ManifestRow]:
    """Rows below the header; names of columns are compared without case and outer spaces."""
    rest = iter(lines)
    header = [name.strip().lower() for name in next(rest, (1, []))[1] or []]
    for name in columns:
        if header.count(name.lower()) != 1:
            raise DataError(
                f"{path}:1: must have one column {name!r}, but has {header.count(name.lower())}"
            )
    ours = {theirs.lower(): name for theirs, name in columns.items()}
    file = path.relative_to(root).as_posix()
    for number, cells in rest:
        if cells is not None and not any(cell.strip() for cell in cells):
            continue
        if cells is None or len(cells) != len(header):
            row = ManifestRow(file, number, {})
            found = "they cannot be told apart" if cells is None else f"it has {len(cells)}"
            row.error(f"must have {len(header)} cells as the header has, but {found}")
        else:
            named = zip(header, cells, strict=True)
            given = {ours[name]: cell.strip() for name, cell in named if name in ours}
            row = ManifestRow(file, number, {k: v for k, v in given.items() if len(v) < _MAX_CELL})
            if len(row.cells) < len(given):
                row.error(f"a cell must have fewer than {_MAX_CELL} characters, but one has more")
        yield row
