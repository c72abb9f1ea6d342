"""A CSV of someone else's making, read under our column names.

A mapping gives for each of our columns a column's name, a template with `{column}`
(`images/{key}.png`), or a constant (`=mass`); without an entry it is the column of the same name,
if there is one.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from mtlbench.data.mammogram import Finding
from mtlbench.errors import DataError, StudyError

T = TypeVar("T")
D = TypeVar("D")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One row: cells by our names, stripped, and what was found wrong or odd about it."""

    file: str
    line: int
    cells: Mapping[str, str]
    findings: list[Finding] = field(default_factory=list)

    @property
    def image_id(self) -> str:
        """Name of the image of which the row speaks."""
        return self.text("image_id")

    def text(self, column: str) -> str:
        """Give a cell, empty where there is no such column."""
        return self.cells.get(column, "")

    def word(self, column: str, words: Mapping[str, T], default: D) -> T | D:
        """Look a cell up in lower case; an unknown word is an error, an empty cell is not."""
        text = self.text(column)
        if not text:
            return default
        if text.lower() not in words:
            self.error(f"{column} must be one of {', '.join(words)}, but got {text!r}")
        return words.get(text.lower(), default)

    def attempt(self, read: Callable[[], T], default: D) -> T | D:
        """Give `read()`; a DataError becomes an error of this row and gives the default."""
        try:
            return read()
        except DataError as error:
            self.error(str(error))
            return default

    def error(self, message: str) -> None:
        """Say what is wrong with this row."""
        self.findings.append(Finding("error", self.file, self.line, message, self.image_id))

    def note(self, message: str, action: str = "") -> None:
        """Say what is odd about this row, and what `prepare` does about it."""
        self.findings.append(Finding("note", self.file, self.line, message, self.image_id, action))


def read_manifest(
    path: Path, mapping: Mapping[str, str], known: Sequence[str], required: Sequence[str]
) -> Iterator[ManifestRow]:
    """Yield the rows of a CSV in UTF-8 (a byte order mark and CRLF are fine); blank ones go.

    Raises:
        DataError: the file is absent, no such CSV, or lacks a column.
        StudyError: `mapping` has a key that is not `known`.
    """
    if unknown := sorted(set(mapping) - set(known)):
        raise StudyError(f"data.columns.{unknown[0]}: unknown key; known are {', '.join(known)}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            header = [name.strip() for name in next(reader, [])]
            templates = _templates(path, header, mapping, known)
            if missing := [name for name in required if name not in templates]:
                raise DataError(
                    f"{path}:1: must have a column {missing[0]}, or data.columns.{missing[0]} "
                    f"must map it, but the columns are {', '.join(header)}"
                )
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield _row(path.name, reader.line_num, header, cells, templates)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, but it must list the images") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: must be a CSV file in UTF-8: {error}") from None


def _templates(
    path: Path, header: list[str], mapping: Mapping[str, str], known: Sequence[str]
) -> dict[str, str]:
    """Our column → a template, or a constant with its `=`."""
    if doubles := sorted({name for name in header if header.count(name) > 1}):
        raise DataError(f"{path}:1: column names must be unique, but {doubles} come twice")
    templates = {name: f"{{{name}}}" for name in known if name in header}
    for ours, given in mapping.items():
        is_name = not given.startswith("=") and "{" not in given
        templates[ours] = f"{{{given}}}" if is_name else given
        asked = [] if given.startswith("=") else _PLACEHOLDER.findall(templates[ours])
        if missing := [name for name in asked if name not in header]:
            raise DataError(
                f"{path}:1: data.columns.{ours} names {missing[0]!r}, but the columns are "
                f"{', '.join(header)}"
            )
    return templates


def _row(
    file: str, line: int, header: list[str], cells: list[str], templates: Mapping[str, str]
) -> ManifestRow:
    named = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
    if len(cells) != len(header):
        row = ManifestRow(file, line, {})
        row.error(f"must have {len(header)} cells as the header has, but has {len(cells)}")
        return row
    return ManifestRow(file, line, {ours: _fill(t, named) for ours, t in templates.items()})


def _fill(template: str, cells: Mapping[str, str]) -> str:
    """Fill a template; it is empty where one of its cells is."""
    if template.startswith("="):
        return template[1:]
    if not all(cells[name] for name in _PLACEHOLDER.findall(template)):
        return ""
    return _PLACEHOLDER.sub(lambda match: cells[match[1]], template)
