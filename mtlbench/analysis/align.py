"""Tables of several arms and seeds in, arrays in one order of cases out.

N = test cases, S = seeds of an arm, K = the five classes of `config.CLASSES`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mtlbench.analysis.findings import Findings, check_findings
from mtlbench.analysis.frame import BOTH, PRED, TEST, TRUE, Floats, Indices, check, refuse
from mtlbench.errors import DataError

MOST_IDS = 10
"""That an error lists."""

Seeds = dict[Any, pd.DataFrame]
"""Seed → its test rows, sorted by patient and image."""


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
    findings: Findings | None = None
    """Of the test cases alone."""


def align(
    frames: Mapping[str, pd.DataFrame],
    *,
    scores: bool = True,
    masks: bool = True,
    findings: Mapping[str, Findings] | None = None,
) -> tuple[Cases, list[Arm]]:
    """Bring the test rows of all arms and seeds into one order; read what is asked for.

    Raises:
        DataError: where arms or seeds differ in cases, patients, folds or truth (with the ids),
            where a used row lacks its number, or where a patient is in two folds.

    """
    arms = {name: _seeds(check(frame, f"arm {name!r}"), name) for name, frame in frames.items()}
    origin, seeds = next(iter(arms.items()))
    first = next(iter(seeds.values()))
    for name, parts in arms.items():
        for seed, part in parts.items():
            if part is not first:
                _same_cases(first, part, origin, f"{name} (seed {seed})")
    scored = [name for name in arms if scores and _any_given(arms[name], ["score"])]
    masked = [name for name in arms if masks and _any_given(arms[name], PRED)]
    label_NK = _shared_truth(arms, scored, ["label"], ["score"])
    true_NK = _shared_truth(arms, masked, TRUE, PRED)
    patients, patient_N = np.unique(first["patient_id"].to_numpy(str), return_inverse=True)
    cases = Cases(
        image_N=first["image_id"].to_numpy(str),
        patient_N=patient_N,
        patients=patients,
        fold_N=np.unique(first["fold"].to_numpy(), return_inverse=True)[1],
        label_N=None if label_NK is None else label_NK[:, 0],
        true_NK=true_NK,
    )
    found = _shared_findings(findings or {}, arms)
    return cases, [
        _arm(name, arms[name], name in scored, name in masked, found.get(name)) for name in arms
    ]


def _arm(name: str, parts: Seeds, scored: bool, masked: bool, findings: Findings | None) -> Arm:
    def stack(columns: Sequence[str]) -> Floats:
        return np.stack([part[list(columns)].to_numpy(float) for part in parts.values()])

    return Arm(
        name=name,
        seeds=tuple(parts),
        score_SN=stack(["score"])[:, :, 0] if scored else None,
        pred_SNK=stack(PRED) if masked else None,
        both_SNK=stack(BOTH) if masked else None,
        findings=findings,
    )


def _shared_findings(
    findings: Mapping[str, Findings], arms: Mapping[str, Seeds]
) -> dict[str, Findings]:
    """Those of the arms that localise, in test cases only; their lesions must be the same."""
    used: dict[str, Findings] = {}
    reference, origin = None, ""
    for name, seeds in arms.items():
        if name not in findings:
            continue
        checked = check_findings(
            findings[name], f"arm {name!r}: lesions", f"arm {name!r}: candidates"
        )
        fold = next(iter(seeds.values())).set_index("image_id")["fold"]
        lesions, candidates = (
            table[table["fold"] == table["image_id"].map(fold)]
            for table in (checked.lesions, checked.candidates)
        )
        if lesions["hit"].isna().all():
            continue
        for seed, part in seeds.items():
            rows = lesions[lesions["seed"] == seed]
            _require_lesions(part, rows, f"arm {name!r}: lesions (seed {seed})")
            there = {*zip(rows["image_id"], rows["lesion"].astype(str), strict=True)}
            reference, origin = (there, name) if reference is None else (reference, origin)
            if there != reference:
                ids = _some({image for image, _ in there ^ reference})
                raise DataError(
                    f"{origin} and {name} (seed {seed}) must have the same lesions, but differ in "
                    f"{ids}"
                )
        used[name] = Findings(lesions, candidates)
    return used


def _require_lesions(part: pd.DataFrame, lesions: pd.DataFrame, where: str) -> None:
    """Refuse a table that leaves out what its arm has missed."""
    shown = part["image_id"][part[TRUE[1:]].sum(axis=1) > 0]
    if absent := {*shown} - {*lesions["image_id"]}:
        raise DataError(
            f"{where}: each image with a lesion by {TRUE[1]}..{TRUE[-1]} must have a row for it, "
            f"hit or not, but these have none: {_some(absent)}"
        )


def _seeds(table: pd.DataFrame, name: str) -> Seeds:
    """Split the test rows of an arm by seed."""
    if "split" in table:
        table = table[table["split"] == TEST]
    if table.empty:
        raise DataError(f"arm {name!r}: no test cases (no row with split = test)")
    pairs = table[["seed", "patient_id", "fold"]].drop_duplicates()
    again = pairs.loc[pairs.duplicated(["seed", "patient_id"]), "patient_id"]
    if not again.empty:
        ids = _some(set(again))
        raise DataError(f"arm {name!r}: a patient must be in the test set of one fold only: {ids}")
    keys = [table[column].to_numpy(str) for column in ("image_id", "patient_id")]
    return dict(iter(table.iloc[np.lexsort(keys)].groupby("seed", sort=True)))


def _same_cases(first: pd.DataFrame, other: pd.DataFrame, origin: str, name: str) -> None:
    left, right = first.set_index("image_id"), other.set_index("image_id")
    if not left.index.symmetric_difference(right.index).empty:
        raise DataError(
            f"arms must have the same test cases: only in {origin}: "
            f"{_some(left.index.difference(right.index))}; "
            f"only in {name}: {_some(right.index.difference(left.index))}"
        )
    for column in ("patient_id", "fold"):
        differ = left[column] != right[column].reindex(left.index)
        if differ.any():
            raise DataError(
                f"{origin} and {name} must agree on {column} of each image, but differ at "
                f"{_some(left.index[differ])}"
            )


def _any_given(parts: Seeds, columns: Sequence[str]) -> bool:
    return any(bool(part[list(columns)].notna().to_numpy().any()) for part in parts.values())


def _shared_truth(
    arms: Mapping[str, Seeds], names: Sequence[str], truth: Sequence[str], needed: Sequence[str]
) -> Floats | None:
    """Take the truth that the named arms share; None without an arm."""
    reference_NK: Floats | None = None
    for name in names:
        for seed, part in arms[name].items():
            truth_NK = part[list(truth)].to_numpy(float)
            lacking_N = ~np.isnan(truth_NK[:, 0]) & part[needed[0]].isna().to_numpy()
            must = f"{needed[0]} must be given where {truth[0]} is, but it is empty"
            refuse(part, lacking_N, f"arm {name!r}", must)
            if reference_NK is None:
                reference_NK = truth_NK
            differ_NK = (truth_NK != reference_NK) & ~(np.isnan(truth_NK) & np.isnan(reference_NK))
            if differ_NK.any():
                ids = _some(part["image_id"][differ_NK.any(axis=1)])
                what = truth[0] if len(truth) == 1 else f"{truth[0]}..{truth[-1]}"
                raise DataError(
                    f"{names[0]} and {name} (seed {seed}) must agree on {what}, but differ at {ids}"
                )
    return reference_NK


def _some(ids: Collection[str]) -> str:
    shown = ", ".join(sorted(ids)[:MOST_IDS]) or "none"
    return shown + (f" and {len(ids) - MOST_IDS} more" if len(ids) > MOST_IDS else "")
