"""A study's data: where they come from, their prepared form, and who is in which split."""

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import platformdirs

from mtlbench.config import DataConfig, StudyConfig
from mtlbench.data.prepare import prepare, recipe_key
from mtlbench.data.prepared import Prepared, open_prepared, recipe_digest, was_touched
from mtlbench.data.split import fold_split, split_cases
from mtlbench.errors import DataError, StudyError
from mtlbench.records import digest

SPLIT_KEYS = {"split", "split_seed", "validation", "test", "folds"}
"""Keys of `[data]` that say who is in which split."""


@dataclass(frozen=True)
class StudyData:
    """Prepared arrays, and their cases with `split` (or `fold`) as used."""

    prepared: Prepared
    cases: pd.DataFrame
    config: DataConfig

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What run hashes cover of the pixels and annotations."""
        return recipe_digest(self.prepared.recipe)

    @cached_property
    def split_identity(self) -> dict[str, Any]:
        """What run hashes cover of the split: the rule, and who is where."""
        column = "fold" if self.config.folds else "split"
        members = sorted(zip(self.cases["image_id"], self.cases[column].astype(str), strict=True))
        return self.config.model_dump(mode="json", include=SPLIT_KEYS) | {
            "members": digest(members)
        }

    def steps_per_epoch(self, batch_size: int, fold: int | None) -> int:
        """Whole batches of the training split, at least one."""
        return max(1, self.sizes[fold]["train"] // batch_size)

    @property
    def training_cases(self) -> int:
        """Cases of the training split, of the smallest fold."""
        return min(sizes["train"] for sizes in self.sizes.values())

    def refuse_empty_splits(self) -> None:
        """Raise DataError where train, validation or test of any fold holds no case."""
        for fold, sizes in self.sizes.items():
            for name, size in sizes.items():
                if not size:
                    where = "" if fold is None else f" of fold {fold}"
                    raise DataError(
                        f"data: train, val and test must each hold a patient, but {name}{where} "
                        f"holds none of the {self.cases['patient_id'].nunique()} patients"
                    )

    @cached_property
    def sizes(self) -> dict[int | None, dict[str, int]]:
        """Cases of each split, of every fold; of None where there are no folds."""
        sizes: dict[int | None, dict[str, int]] = {}
        for fold in range(self.config.folds) if self.config.folds else [None]:
            cases = self.cases if fold is None else fold_split(self.cases, fold, self.config)
            sizes[fold] = {n: int((cases["split"] == n).sum()) for n in ("train", "val", "test")}
        return sizes


def load_data(
    study: StudyConfig,
    places: Mapping[str, Path],
    jobs: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> StudyData:
    """Prepare a study's data, or open them where they have been prepared, and split them.

    `places` maps a data set's name to its folder; `MTLBENCH_DATA_<NAME>` is asked next.

    Raises:
        StudyError: the data set needs a folder and none is named.
        DataError: the data, or their split, are wrong.
    """
    root = _root(study.dataset, places)
    folder = cache_folder() / "prepared" / recipe_key(study.dataset, root, study.data)
    prepared = _opened(folder) or prepare(study.dataset, root, study.data, folder, jobs, progress)
    data = StudyData(prepared, split_cases(prepared.cases, study.data), study.data)
    data.refuse_empty_splits()
    return data


def _opened(folder: Path) -> Prepared | None:
    """The prepared data; None where they are absent or damaged, and so are to be made again.

    Files that have been written to since are held to their hashes, once.
    """
    touched = was_touched(folder)
    try:
        prepared = open_prepared(folder, verify=touched)
    except DataError:
        return None
    if touched:
        with contextlib.suppress(OSError):  # a cache that is read only is hashed each time
            (folder / "recipe.json").touch()
    return prepared


def cache_folder() -> Path:
    """`MTLBENCH_CACHE`, or the user's cache folder."""
    named = os.environ.get("MTLBENCH_CACHE")
    return Path(named).expanduser() if named else Path(platformdirs.user_cache_dir("mtlbench"))


def _root(dataset: str, places: Mapping[str, Path]) -> Path:
    if stray := sorted(set(places) - {dataset}):
        raise StudyError(f"--data: must name the study's data set {dataset!r}, but got {stray}")
    if dataset == "phantom":
        if places:
            raise StudyError("--data: data set 'phantom' is drawn and takes no folder")
        return Path()
    variable = f"MTLBENCH_DATA_{dataset.upper().replace('-', '_')}"
    named = places.get(dataset) or os.environ.get(variable)
    if not named:
        raise StudyError(f"dataset {dataset!r} needs a folder: --data {dataset}=DIR or {variable}")
    root = Path(named).expanduser()
    if not root.is_dir():
        raise DataError(f"{root}: the folder of data set {dataset!r} must exist")
    return root
