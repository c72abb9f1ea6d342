"""`predictions.csv` in, aligned arrays out: what must hold of a table before it is analysed.

N = test cases, S = seeds of an arm, K = the five classes of `config.CLASSES`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mtlbench.config import CLASSES
from mtlbench.errors import DataError

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Seeds = dict[Any, pd.DataFrame]
"""Seed → its rows, sorted by patient."""

IDS = ("image_id", "patient_id")
TRUE, PRED, BOTH = (
    [f"{kind}_{k}" for k in range(len(CLASSES))] for kind in ("true", "pred", "both")
)
NUMBERS = ["label", "score", *TRUE, *PRED, *BOTH]
SHOWN = 10
"""How many ids or rows an error lists."""


@dataclass(frozen=True)
class Cases:
    """What is the same for all arms: the test cases, sorted by patient, and their truth."""

    image_N: NDArray[np.str_]
    patient_N: Indices
    """Index into `patients`."""
    patients: NDArray[np.str_]
    """Sorted ids."""
    fold_N: Indices
    label_N: Floats | None
    """0, 1 or NaN; None: no arm has scores."""
    true_NK: Floats | None
    """Pixels of each class, NaN where there is no mask; None: no arm has predicted masks."""


@dataclass(frozen=True)
class Arm:
    """One arm's predictions in the order of `Cases`; None where it lacks the task."""

    name: str
    seeds: tuple[Any, ...]
    score_SN: Floats | None
    pred_SNK: Floats | None
    both_SNK: Floats | None


def load_predictions(path: Path) -> pd.DataFrame:
    """Read and check a `predictions.csv`; ids stay text, the index is the line in the file.

    Raises:
        DataError: naming file and line, and what must hold.

    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a table of comma-separated values: {error}") from None
    frame.index = pd.RangeIndex(2, len(frame) + 2, name="line")
    return check(frame, str(path))


def check(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """Copy with ids as text and the known number columns as floats, added where missing.

    Raises:
        DataError: with `where`, the row and its image, and what must hold.

    """
    if missing := [name for name in IDS if name not in frame.columns]:
        raise DataError(f"{where}: column {missing[0]} is missing; columns: {list(frame.columns)}")
    table = frame.copy()
    for name in IDS:
        empty = table[name].isna() | (table[name].astype(str) == "")
        _refuse(table, empty, where, f"{name} must not be empty")
        table[name] = table[name].astype(str)
    for name in NUMBERS:
        table[name] = _numbers(table, name, where)
    for name in ("seed", "fold"):
        table[name] = _group(table, name, where)
    _check_values(table, where)
    keys = ["image_id", "seed", "fold", *(["split"] if "split" in table else [])]
    _refuse(table, table.duplicated(keys), where, "image_id must be unique, but it comes twice")
    return table


def align(frames: Mapping[str, pd.DataFrame]) -> tuple[Cases, list[Arm]]:
    """Bring the test rows of all arms and seeds into one order.

    Raises:
        DataError: where arms or seeds differ in cases, patients, folds or truth (with the ids),
            where a used row lacks its number, or where a patient is in two folds.

    """
    tables = {name: _test_rows(check(frame, _title(name)), name) for name, frame in frames.items()}
    by_seed = {name: _by_seed(table) for name, table in tables.items()}
    first_name, first_seeds = next(iter(by_seed.items()))
    first = next(iter(first_seeds.values()))
    for name, parts in by_seed.items():
        for seed, part in parts.items():
            _same_cases(first, part, first_name, f"{name} (seed {seed})")
    scored = {name: parts for name, parts in by_seed.items() if _has(parts, ["score"])}
    masked = {name: parts for name, parts in by_seed.items() if _has(parts, [*PRED, *BOTH])}
    label_NK = _same_truth(scored, ["label"], ["score"])
    true_NK = _same_truth(masked, TRUE, [*PRED, *BOTH])
    patients, patient_N = np.unique(first["patient_id"].to_numpy(str), return_inverse=True)
    fold_N = np.unique(first["fold"].to_numpy(), return_inverse=True)[1]
    cases = Cases(
        image_N=first["image_id"].to_numpy(str),
        patient_N=patient_N,
        patients=patients,
        fold_N=fold_N,
        label_N=None if label_NK is None else label_NK[:, 0],
        true_NK=true_NK,
    )
    _one_fold_each(cases)
    return cases, [_arm(name, by_seed[name], name in scored, name in masked) for name in frames]


def _arm(name: str, parts: Seeds, scored: bool, masked: bool) -> Arm:
    def stack(columns: Sequence[str]) -> Floats:
        return np.stack([part[list(columns)].to_numpy(float) for part in parts.values()])

    return Arm(
        name=name,
        seeds=tuple(parts),
        score_SN=stack(["score"])[:, :, 0] if scored else None,
        pred_SNK=stack(PRED) if masked else None,
        both_SNK=stack(BOTH) if masked else None,
    )


def _title(name: str) -> str:
    return f"arm {name!r}"


def _numbers(table: pd.DataFrame, name: str, where: str) -> "pd.Series[float]":
    if name not in table:
        return pd.Series(np.nan, index=table.index)
    given = table[name].replace("", np.nan)
    numbers = pd.to_numeric(given, errors="coerce").astype(float)
    wrong = numbers.isna() & given.notna() & (given.astype(str).str.lower() != "nan")
    _refuse(table, wrong, where, f"{name} must be a number", name)
    return numbers


def _group(table: pd.DataFrame, name: str, where: str) -> "pd.Series[Any]":
    """`seed` or `fold`: one group where the column is missing or wholly empty."""
    if name not in table or table[name].replace("", np.nan).isna().all():
        return pd.Series(0, index=table.index, dtype=object)
    given = table[name].replace("", np.nan)
    _refuse(table, given.isna(), where, f"{name} must be given in every row or in none")
    numbers = pd.to_numeric(given, errors="coerce")
    return (given if numbers.isna().any() else numbers).astype(object)


def _check_values(table: pd.DataFrame, where: str) -> None:
    label, score = table["label"], table["score"]
    _refuse(table, label.notna() & ~label.isin([0, 1]), where, "label must be 0 or 1", "label")
    _refuse(table, np.isinf(score), where, "score must be finite", "score")
    counts = table[[*TRUE, *PRED, *BOTH]].to_numpy(float)
    whole = np.isnan(counts) | ((counts >= 0) & (counts == np.round(counts)))
    _refuse(table, ~whole.all(axis=1), where, "counts of pixels must be whole numbers >= 0")
    for columns, kind in ((TRUE, "true"), ([*PRED, *BOTH], "pred and both")):
        given = table[columns].notna()
        partial = given.any(axis=1) & ~given.all(axis=1)
        _refuse(table, partial, where, f"the {kind} counts of a row must be all given or all empty")
    true_NK, pred_NK, both_NK = np.split(counts, 3, axis=1)
    outside_NK = true_NK.sum(axis=1, keepdims=True) - true_NK
    unequal = true_NK.sum(axis=1) - pred_NK.sum(axis=1)
    for bad_N, must in (
        (
            ~np.isnan(unequal) & (unequal != 0),
            "true_0..true_4 and pred_0..pred_4 must add up alike",
        ),
        ((both_NK > np.fmin(true_NK, pred_NK)).any(axis=1), "both_k must be <= true_k and pred_k"),
        (
            (pred_NK - both_NK > outside_NK).any(axis=1),
            "pred_k - both_k must be <= the pixels of the other classes",
        ),
    ):
        _refuse(table, bad_N, where, must)


def _refuse(
    table: pd.DataFrame,
    bad: "pd.Series[bool] | NDArray[np.bool_]",
    where: str,
    must: str,
    column: str | None = None,
) -> None:
    rows = np.flatnonzero(np.asarray(bad))
    if rows.size == 0:
        return
    row = rows[0]
    place = f"{table.index.name or 'row'} {table.index[row]}"
    came = f", but got {table[column].iloc[row]!r}" if column else ""
    more = f" ({rows.size - 1} more rows)" if rows.size > 1 else ""
    raise DataError(f"{where}: {place} (image {table['image_id'].iloc[row]}): {must}{came}{more}")


def _test_rows(table: pd.DataFrame, name: str) -> pd.DataFrame:
    if "split" in table:
        table = table[table["split"] == "test"]
    if table.empty:
        raise DataError(f"{_title(name)}: no test cases (no row with split = test)")
    return table


def _by_seed(table: pd.DataFrame) -> Seeds:
    ordered = table.sort_values(["patient_id", "image_id", "fold"], kind="stable")
    return dict(iter(ordered.groupby("seed", sort=True)))


def _same_cases(first: pd.DataFrame, other: pd.DataFrame, first_name: str, name: str) -> None:
    ids, others = set(first["image_id"]), set(other["image_id"])
    if ids != others:
        raise DataError(
            f"arms must have the same test cases: only in {first_name}: "
            f"{_some(ids - others)}; only in {name}: {_some(others - ids)}"
        )
    if len(first) != len(other):
        raise DataError(
            f"arms must have the same test cases, but {first_name} has {len(first)} rows, "
            f"{name} {len(other)}"
        )
    for column in ("patient_id", "fold"):
        left = first.set_index(["image_id", "fold"] if column != "fold" else "image_id")[column]
        right = other.set_index(left.index.names)[column]
        differ = left.sort_index().to_numpy() != right.sort_index().to_numpy()
        if differ.any():
            where = _some(set(left.sort_index().index.get_level_values(0)[differ]))
            raise DataError(f"{first_name} and {name} differ in {column} at image {where}")


def _has(parts: Seeds, columns: Sequence[str]) -> bool:
    return any(bool(part[list(columns)].notna().to_numpy().any()) for part in parts.values())


def _same_truth(
    arms: Mapping[str, Seeds],
    truth: Sequence[str],
    predicted: Sequence[str],
) -> Floats | None:
    """Take the truth that all arms with this task share; None without such an arm."""
    reference: Floats | None = None
    origin = ""
    for name, parts in arms.items():
        for seed, part in parts.items():
            values = part[list(truth)].to_numpy(float)
            used = ~np.isnan(values).any(axis=1)
            lacking = used & part[list(predicted)].isna().any(axis=1).to_numpy()
            must = f"{predicted[0]} must be given in a row that has {truth[0]}, but is empty"
            _refuse(part, lacking, _title(name), must)
            if reference is None:
                reference, origin = values, name
            same = (values == reference) | (np.isnan(values) & np.isnan(reference))
            if not same.all():
                where = _some(set(part["image_id"][~same.all(axis=1)]))
                what = truth[0] if len(truth) == 1 else f"{truth[0]}..{truth[-1]}"
                raise DataError(f"{origin} and {name} (seed {seed}) differ in {what} at {where}")
    return reference


def _one_fold_each(cases: Cases) -> None:
    pairs = np.unique(np.stack([cases.patient_N, cases.fold_N]), axis=1)
    several = np.bincount(pairs[0]) > 1
    if several.any():
        ids = _some(set(cases.patients[several]))
        raise DataError(
            f"a patient must be in the test set of one fold only, but in several: {ids}"
        )


def _some(ids: set[str]) -> str:
    shown = ", ".join(sorted(ids)[:SHOWN]) or "none"
    return shown + (f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else "")
