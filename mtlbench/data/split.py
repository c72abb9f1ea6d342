"""Train, validation and test, or folds: by patient, stratified, seeded.

Strata are the patient's label (1 if any image is cancer, 0, or unknown) and whether any lesion is
known. Shares of `DataConfig` are shares of patients: of all, or with `split = "official"` of the
official training patients.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mtlbench.config import DataConfig
from mtlbench.errors import DataError, StudyError

SPLITS = ("train", "val", "test")
Strata = dict[int, list[str]]
"""Patient label (-1: unknown) → patients in random order, those with lesions last."""


def split_cases(cases: pd.DataFrame, config: DataConfig) -> pd.DataFrame:
    """Give `cases` with `split` filled; the order of its rows does not matter.

    With `config.folds` there is also a column `fold`, 0 to folds - 1: each case is test in that
    fold, so `split` is `test` everywhere, and `fold_split` gives the splits of one fold.

    Raises:
        DataError: a patient is in two official splits; there is no official test split; there
            are fewer patients than folds.
        StudyError: shares or folds that cannot be.
    """
    check_split_config(config)
    if config.folds:
        return _with_folds(cases, config)
    if config.split == "official":
        return _official(cases, config)
    strata = _strata(cases, config.split_seed)
    test = _choose(strata, strata, config.test, keep=2)
    val = _choose(strata, _without(strata, test), config.validation, keep=1)
    return _assign(cases, val, test)


def fold_split(cases: pd.DataFrame, fold: int, config: DataConfig) -> pd.DataFrame:
    """Give `cases` (with `fold`) with the `split` of one fold: its cases are the test.

    Validation is carved from the other folds' patients, `config.validation` of all patients.
    """
    test = set(cases.loc[cases["fold"] == fold, "patient_id"])
    strata = _strata(cases, config.split_seed)
    return _assign(cases, _choose(strata, _without(strata, test), config.validation, keep=1), test)


def check_split_config(config: DataConfig) -> None:
    """Raise StudyError for shares or folds that cannot be."""
    if config.folds == 1:
        raise StudyError("data.folds must be 0 (none) or at least 2, but got 1")
    if config.folds and config.split == "official":
        raise StudyError('data.folds must be 0 where data.split is "official"')
    if config.split == "patient" and not config.folds and config.test + config.validation >= 1:
        raise StudyError(
            "data.test + data.validation must be below 1, so that training patients are left, "
            f"but got {config.test} + {config.validation}"
        )


def _with_folds(cases: pd.DataFrame, config: DataConfig) -> pd.DataFrame:
    strata = _strata(cases, config.split_seed)
    patients = [patient for stratum in strata.values() for patient in stratum]
    if len(patients) < config.folds:
        raise DataError(
            f"data.folds must be at most the number of patients, but got {config.folds} folds "
            f"for {len(patients)} patients"
        )
    # Patients of one stratum are neighbours: dealt out in turn, folds differ by one at most.
    fold = {patient: position % config.folds for position, patient in enumerate(patients)}
    return cases.assign(split="test", fold=cases["patient_id"].map(fold).astype(int))


def _official(cases: pd.DataFrame, config: DataConfig) -> pd.DataFrame:
    split = cases.groupby("patient_id")["split"].unique()
    if torn := sorted(split.index[split.map(len) > 1]):
        raise DataError(
            f"a patient must be in one split, but {len(torn)} are in two: {_some(torn)}"
        )
    if bare := sorted(split.index[split.map(lambda names: names[0] == "")]):
        what = "none has" if len(bare) == len(split) else f"{_some(bare)} have none"
        raise DataError(
            f'data.split = "official": every patient must have an official split, but {what}'
        )
    official = {name: set(cases.loc[cases["split"] == name, "patient_id"]) for name in SPLITS}
    if missing := [name for name in ("train", "test") if not official[name]]:
        raise DataError(
            f'data.split = "official": there must be official {missing[0]} patients, but there '
            'are none; data.split = "patient" makes a split'
        )
    train = _strata(cases[cases["split"] == "train"], config.split_seed)
    val = official["val"] or _choose(train, train, config.validation, keep=1)
    return _assign(cases, val, official["test"])


def _strata(cases: pd.DataFrame, seed: int) -> Strata:
    """Shuffle the patients within each stratum; equal for any order of the rows."""
    table = cases.assign(
        label=cases["label"].astype("Int64").fillna(-1), lesion=cases["n_lesions"] > 0
    )
    patients = table.groupby("patient_id")[["label", "lesion"]].max().sort_index()
    rng = np.random.default_rng(seed)
    strata: Strata = {}
    for label in (-1, 0, 1):
        strata[label] = []
        for lesion in (False, True):
            of_both = (patients["label"] == label) & (patients["lesion"] == lesion)
            names = patients.index[of_both].to_list()
            strata[label] += [names[i] for i in rng.permutation(len(names))]
    return strata


def _choose(strata: Strata, rest: Strata, share: float, keep: int) -> set[str]:
    """Choose `share` of each label's patients from those who are left, evenly over its order.

    At least one of a label with three patients or more, so that every split has both labels; at
    least `keep` are left for the splits that come after.
    """
    chosen: set[str] = set()
    for label, everyone in strata.items():
        left = rest[label]
        least = 1 if len(everyone) >= 3 else 0
        number = min(max(round(share * len(everyone)), least), max(len(left) - keep, 0))
        chosen |= {left[i] for i in _evenly(len(left), number)}
    return chosen


def _evenly(length: int, number: int) -> list[int]:
    """Give `number` of the positions 0 .. length - 1, evenly spaced."""
    return [(2 * i + 1) * length // (2 * number) for i in range(number)]


def _without(strata: Strata, patients: set[str]) -> Strata:
    return {label: [p for p in order if p not in patients] for label, order in strata.items()}


def _assign(cases: pd.DataFrame, val: set[str], test: set[str]) -> pd.DataFrame:
    patient = cases["patient_id"]
    split = np.select([patient.isin(test), patient.isin(val)], ["test", "val"], "train")
    return cases.assign(split=split)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
