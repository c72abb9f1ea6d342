"""A prepared data set: memory-mapped arrays, tables, and the recipe they must agree with.

N = cases, H, W = height and width in pixels.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mtlbench.errors import DataError
from mtlbench.records import file_sha256, read_json

PREPARED_SCHEMA = 2
"""Version of the folder's layout and of what preparation does to pixels; raised with either."""

FILES = ("images.npy", "masks.npy", "cases.csv", "lesions.csv", "excluded.csv")
_NUMBERS = {
    "label": "Int64", "height": "int64", "width": "int64", "spacing_mm": "float64",
    "has_mask": "int64", "n_lesions": "int64", "flipped": "int64", "crop_top": "int64",
    "crop_left": "int64", "scale": "float64", "top": "int64", "fold": "int64",
    "lesion": "int64", "class": "Int64", "x_min": "Int64", "x_max": "Int64", "y_min": "Int64",
    "y_max": "Int64", "area_px": "Int64", "area_mm2": "float64",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What a training reads; row i of every array is row i of `cases`.

    `images` is uint8 or uint16 N x H x W, `masks` uint8 N x H x W with the classes 0..4 and 255
    for pixels that count for nothing (all of them where `has_mask` is 0). Both are read only.
    `cases.label` is nullable Int64.
    """

    root: Path
    recipe: dict[str, Any]
    cases: pd.DataFrame
    lesions: pd.DataFrame
    images: NDArray[np.uint8] | NDArray[np.uint16]
    masks: NDArray[np.uint8]


def was_touched(folder: Path) -> bool:
    """Whether a file has been written since the recipe, which is written last."""
    try:
        times = [(folder / name).stat().st_mtime_ns for name in (*FILES, "recipe.json")]
    except OSError:  # one is missing, which opening tells
        return False
    return max(times) > times[-1]


def open_prepared(folder: Path, *, verify: bool = False) -> Prepared:
    """Open a prepared folder; with `verify` the files' SHA-256 are compared too.

    Raises:
        DataError: a file is missing, cut off, or does not agree with recipe.json.
    """
    recipe = _recipe(folder / "recipe.json")
    for name in FILES:
        _check_file(folder / name, recipe["files"][name], verify)
    cases = read_table(folder / "cases.csv")
    if len(cases) != recipe["n"]:
        raise DataError(
            f"{folder / 'cases.csv'}: must have {recipe['n']} rows as recipe.json says, "
            f"but has {len(cases)}"
        )
    shape = (recipe["n"], *recipe["size"])
    return Prepared(
        root=folder,
        recipe=recipe,
        cases=cases,
        lesions=read_table(folder / "lesions.csv"),
        images=_array(folder / "images.npy", shape, recipe["dtype"]),
        masks=_array(folder / "masks.npy", shape, "uint8"),
    )


def recipe_digest(recipe: dict[str, Any]) -> dict[str, Any]:
    """Give what identifies the data for a run's hash: contents only, no version, path or time."""
    files = {name: recipe["files"][name]["sha256"] for name in FILES[:3]}
    names = ("schema", "adapter", "size", "intensity", "label_rule", "other_lesions")
    return {name: recipe[name] for name in names} | {"sha256": files}


def read_table(path: Path) -> pd.DataFrame:
    """Read cases.csv or lesions.csv; ids stay text, an empty text field stays empty."""
    numbers = {name: [""] for name in _NUMBERS}
    with path.open(encoding="utf-8") as stream:
        header = stream.readline().rstrip("\n").split(",")
    types: Any = {name: _NUMBERS.get(name, "str") for name in header}
    return pd.read_csv(path, dtype=types, keep_default_na=False, na_values=numbers)


def _recipe(path: Path) -> dict[str, Any]:
    try:
        recipe: dict[str, Any] = read_json(path)
        schema, *_ = (recipe[key] for key in ("schema", "n", "size", "dtype", "files"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, TypeError, KeyError):
        raise DataError(f"{path}: must be the recipe of a prepared data set") from None
    if schema != PREPARED_SCHEMA:
        raise DataError(
            f"{path}: schema must be {PREPARED_SCHEMA}, but got {schema}: prepare the data again"
        )
    return recipe


def _check_file(path: Path, entry: dict[str, Any], verify: bool) -> None:
    if not path.is_file():
        raise DataError(f"{path}: no such file, but recipe.json lists it")
    if (found := path.stat().st_size) != entry["bytes"]:
        raise DataError(f"{path}: must have {entry['bytes']} bytes, but has {found}")
    if verify and (found_sha256 := file_sha256(path)) != entry["sha256"]:
        raise DataError(f"{path}: SHA-256 must be {entry['sha256']}, but is {found_sha256}")


def _array(path: Path, shape: tuple[int, ...], dtype: str) -> Any:
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as an array: {error}") from None
    if array.shape != shape or array.dtype != dtype:
        raise DataError(
            f"{path}: must be {dtype} of shape {shape}, but is {array.dtype} of {array.shape}"
        )
    return array
