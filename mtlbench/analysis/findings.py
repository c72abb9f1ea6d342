"""What must hold of one arm's `lesions.csv` and `candidates.csv` before they are analysed."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mtlbench.analysis.frame import as_text, group, numbers, read_table, refuse
from mtlbench.errors import DataError

LESIONS = ("image_id", "lesion", "hit", "score")
CANDIDATES = ("image_id", "score", "hit")
"""Columns that must be there; `seed` and `fold` may be."""


@dataclass(frozen=True)
class Findings:
    """What an arm found: a row per lesion of the truth, and one per candidate.

    `hit`: whether a candidate hits the lesion, or the candidate a lesion; by which rule is the
    writer's. A lesion's `score` is that of its best candidate, empty where it is missed; lesions of
    an arm that does not localise have an empty `hit`.
    """

    lesions: pd.DataFrame
    candidates: pd.DataFrame


def load_findings(predictions: Path) -> Findings | None:
    """Read the two files beside a `predictions.csv`; None where neither is there.

    Raises:
        DataError: naming file and line, and what must hold.

    """
    paths = [predictions.with_name(f"{name}.csv") for name in ("lesions", "candidates")]
    there = [path for path in paths if path.exists()]
    if not there:
        return None
    if len(there) == 1:
        absent = next(path for path in paths if path not in there)
        raise DataError(f"{absent}: must stand beside {there[0].name}, but is not there")
    tables = [read_table(path) for path in paths]
    images = {*read_table(predictions).get("image_id", ())}
    for table, path in zip(tables, paths, strict=True):
        if "image_id" in table:  # else the check below says so
            strange = ~table["image_id"].isin(images)
            refuse(table, strange, str(path), f"image_id must be one of {predictions.name}")
    return check_findings(Findings(*tables), *map(str, paths))


def check_findings(
    findings: Findings, lesions: str = "lesions", candidates: str = "candidates"
) -> Findings:
    """Copies with numbers as such, and `seed` and `fold` 0 where they are missing.

    Raises:
        DataError: with the table's name, the row and its image, and what must hold.

    """
    found = _check(findings.candidates, CANDIDATES, candidates)
    there = _check(findings.lesions, LESIONS, lesions)
    needed = {
        "hit must be 0 or 1": found["hit"].isna(),
        "score must be given": found["score"].isna(),
    }
    for must, bad in needed.items():
        refuse(found, bad, candidates, must)
    refuse(
        there,
        (there["hit"] == 1) & there["score"].isna(),
        lesions,
        "score must be given where hit is 1",
    )
    keys = ["image_id", "seed", "fold"]
    refuse(
        there, there.duplicated([*keys, "lesion"]), lesions, "lesion must be unique in its image"
    )
    hitting, hit = (pd.MultiIndex.from_frame(t[keys]) for t in (found[found["hit"] == 1], there))
    unexplained = (there["hit"] == 1).to_numpy() & ~hit.isin(hitting)
    refuse(there, unexplained, lesions, "hit is 1, so a candidate of the image must have hit 1")
    return Findings(there, found)


def _check(frame: pd.DataFrame, columns: tuple[str, ...], where: str) -> pd.DataFrame:
    if missing := [name for name in columns if name not in frame.columns]:
        raise DataError(f"{where}: column {missing[0]} is missing; columns: {list(frame.columns)}")
    table = frame.copy()
    table["image_id"] = as_text(table["image_id"])
    for name in ("hit", "score"):
        table[name] = numbers(table, name, where)
    for name in ("seed", "fold"):
        table[name] = group(table, name, where)
    hit, score = table["hit"], table["score"]
    refuse(table, hit.notna() & ~hit.isin([0, 1]), where, "hit must be 0 or 1", "hit")
    outside = score.notna() & ~score.between(0, 1)
    refuse(table, outside, where, "score must be in [0, 1] or empty", "score")
    return table
