"""A results folder's files: what is not as it must be is one line with the path; tables written."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mtlbench.analysis import load_predictions
from mtlbench.errors import DataError
from mtlbench.records import read_csv, read_json
from mtlbench.report.text import csv_text

HISTORY = (
    *("epoch", "step", "loss_cls", "loss_seg", "val_loss_cls", "val_loss_seg"),
    *("val_auc", "val_dice_lesions"),
)
"""The columns of `history.csv` that a report draws."""
RECORD = ("files", "steps", "validation", "versions", "device", "git_commit", "wall_s")
CONFIG = ("optim", "stages")
PANELS = ("image_id", "label", "score", "images", "truth")


def text_table(path: Path, columns: Collection[str]) -> pd.DataFrame:
    """Read a CSV with all fields as text.

    Raises:
        DataError: it is no CSV, lacks a column, or has a line with other fields than its header.
    """
    try:
        rows = read_csv(path, columns)
    except OSError as error:
        raise DataError(f"{path}: not a table of comma-separated values: {error}") from None
    return pd.DataFrame(rows, columns=None if rows else list(columns), dtype=str)


def whole(row: Mapping[str, str], column: str, path: Path) -> int:
    """A field of a text table as a whole number."""
    try:
        return int(row[column])
    except ValueError:
        raise DataError(
            f"{path}: {column} must be a whole number, but got {row[column]!r}"
        ) from None


def history(path: Path) -> pd.DataFrame:
    """Read a `history.csv`: the columns of `HISTORY` as numbers, NaN where empty."""
    table = text_table(path, HISTORY)
    try:
        return table[list(HISTORY)].replace("", "nan").astype(float)
    except ValueError as error:
        raise DataError(f"{path}: its columns must be numbers or empty: {error}") from None


def predictions(path: Path) -> pd.DataFrame:
    """Read the test rows of a run's `predictions.csv`."""
    table = load_predictions(path)
    if "split" not in table or not (table["split"] == "test").any():
        raise DataError(f"{path}: a run's predictions must have rows with split = test")
    return table[table["split"] == "test"]


def json_object(path: Path, keys: Collection[str] = ()) -> dict[str, Any]:
    """Read a JSON object that must have `keys`."""
    try:
        value = read_json(path)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"{path}: must be a JSON object, but is a {type(value).__name__}")
    if lacking := [key for key in keys if key not in value]:
        raise DataError(f"{path}: {', '.join(lacking)} must be there, but is not")
    return value


def panels(path: Path) -> dict[str, NDArray[Any]]:
    """Read a `panels.npz`."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = dict(stored)
    except (OSError, ValueError, EOFError, TypeError, BadZipFile) as error:
        raise DataError(f"{path}: not a file of arrays: {error}") from None
    if lacking := [name for name in PANELS if name not in found]:
        raise DataError(f"{path}: {', '.join(lacking)} must be there, but is not")
    return found


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as UTF-8; no text of it is a formula to a spreadsheet."""
    safe = table.map(lambda value: csv_text(value) if isinstance(value, str) else value)
    path.write_text(safe.to_csv(index=False, lineterminator="\n"), encoding="utf-8", newline="\n")
