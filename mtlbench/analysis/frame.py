"""What must hold of one `predictions.csv` before it is analysed."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mtlbench.config import CLASSES
from mtlbench.errors import DataError

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]

IDS = ("image_id", "patient_id")
REQUIRED = (*IDS, "label", "score")
"""Columns that must be there; `label` and `score` may be empty."""
TEST = "test"
"""What `split` says of the rows that are analysed; others may say what they like."""
TRUE, PRED, BOTH = (
    [f"{kind}_{k}" for k in range(len(CLASSES))] for kind in ("true", "pred", "both")
)


def load_predictions(path: Path) -> pd.DataFrame:
    """Read and check a `predictions.csv`; ids stay text, the index is the line in the file.

    Raises:
        DataError: naming file and line, and what must hold.

    """
    return check(read_table(path), str(path))


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV with all fields as text; the index is the line in the file.

    Raises:
        DataError: it is no such file.

    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: not a table of comma-separated values: {error}") from None
    frame.index = pd.RangeIndex(2, len(frame) + 2, name="line")
    return frame


def check(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """Copy with ids as text and the known number columns as floats, counts added where missing.

    `seed` and `fold` are 0 throughout where they are missing or empty. `where` begins a message.

    Raises:
        DataError: with `where`, the row and its image, and what must hold.

    """
    if missing := [name for name in REQUIRED if name not in frame.columns]:
        raise DataError(f"{where}: column {missing[0]} is missing; columns: {list(frame.columns)}")
    table = frame.copy()
    for name in IDS:
        refuse(table, _empty(table[name]), where, f"{name} must not be empty")
        table[name] = as_text(table[name])
    if "split" in table:
        plain = table["split"].astype(str).str.strip().str.lower() == TEST
        refuse(table, plain & (table["split"] != TEST), where, f"split must be {TEST!r}", "split")
    for name in ("label", "score", *TRUE, *PRED, *BOTH):
        table[name] = numbers(table, name, where)
    for name in ("seed", "fold"):
        table[name] = group(table, name, where)
    _check_values(table, where)
    keys = ["image_id", "seed", "fold", *(["split"] if "split" in table else [])]
    refuse(table, table.duplicated(keys), where, "image_id must be unique, but it comes twice")
    return table


def refuse(
    table: pd.DataFrame,
    bad_N: "pd.Series[bool] | Mask",
    where: str,
    must: str,
    column: str | None = None,
) -> None:
    """Raise a `DataError` that names the first bad row, if there is one."""
    rows = np.flatnonzero(np.asarray(bad_N))
    if rows.size == 0:
        return
    row = rows[0]
    place = f"{table.index.name or 'row'} {table.index[row]}"
    came = f", but got {table[column].tolist()[row]!r}" if column else ""
    more = f" ({rows.size - 1} more rows)" if rows.size > 1 else ""
    raise DataError(f"{where}: {place} (image {table['image_id'].iloc[row]}): {must}{came}{more}")


def as_text(column: "pd.Series[Any]") -> "pd.Series[str]":
    """Ids and names as text, empty where missing: 7 and 7.0 read as "7"."""
    whole = pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all()
    text = (column.astype("Int64") if whole else column).astype(object)
    return text.where(column.notna(), "").astype(str)


def _empty(column: "pd.Series[Any]") -> "pd.Series[bool]":
    if pd.api.types.is_numeric_dtype(column):
        return column.isna()
    return column.isna() | column.astype(str).str.strip().isin(["", "nan", "NaN"])


def numbers(table: pd.DataFrame, name: str, where: str) -> "pd.Series[float]":
    """A column as numbers, NaN where it is empty or missing; what is neither is refused."""
    if name not in table:
        return pd.Series(np.nan, index=table.index)
    values = pd.to_numeric(table[name], errors="coerce").astype(float)
    if values.isna().any():
        wrong = values.isna() & ~_empty(table[name])
        refuse(table, wrong, where, f"{name} must be a number", name)
    return values


def group(table: pd.DataFrame, name: str, where: str) -> "pd.Series[Any]":
    """`seed` or `fold`, as numbers where all of them are; 0 where it is missing."""
    if name not in table or _empty(table[name]).all():
        return pd.Series(0, index=table.index)
    must = f"{name} must be given in every row or in none"
    refuse(table, _empty(table[name]), where, must)
    values = pd.to_numeric(table[name], errors="coerce")
    return table[name].astype(str) if values.isna().any() else values


def _check_values(table: pd.DataFrame, where: str) -> None:
    label, score = table["label"], table["score"]
    refuse(table, label.notna() & ~label.isin([0, 1]), where, "label must be 0 or 1", "label")
    outside = score.notna() & ~score.between(0, 1)
    refuse(table, outside, where, "score must be in [0, 1] or empty", "score")
    counts = table[[*TRUE, *PRED, *BOTH]].to_numpy(float)
    if np.isnan(counts).all():
        return
    whole_N = (np.isnan(counts) | ((counts >= 0) & (counts == np.round(counts)))).all(axis=1)
    refuse(table, ~whole_N, where, "counts of pixels must be whole numbers >= 0")
    for columns, kind in ((TRUE, "true"), ([*PRED, *BOTH], "pred and both")):
        partial = table[columns].isna().any(axis=1) & table[columns].notna().any(axis=1)
        refuse(table, partial, where, f"the {kind} counts of a row must be all given or all empty")
    true_NK, pred_NK, both_NK = np.split(counts, 3, axis=1)
    spare_NK = true_NK.sum(axis=1, keepdims=True) - true_NK
    gap_N = true_NK.sum(axis=1) - pred_NK.sum(axis=1)
    faults = {
        "true_0..true_4 and pred_0..pred_4 must add up alike": np.abs(gap_N) > 0,
        "both_k must be <= true_k and pred_k": (both_NK > np.fmin(true_NK, pred_NK)).any(axis=1),
        "pred_k - both_k must be <= the other true_k": (pred_NK - both_NK > spare_NK).any(axis=1),
    }
    for must, bad_N in faults.items():
        refuse(table, bad_N, where, must)


def absent(value: float | None) -> bool:
    """Whether a number could not be estimated (None or NaN)."""
    return value is None or value != value
