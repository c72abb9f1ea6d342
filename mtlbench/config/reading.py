"""Reading a study file: every fault is told at once.

Each table is validated in itself; what is at fault is left out, with a stand-in that has no fault
where the file must say something, so that the rest can still be checked. What one table says of
another is checked where both are sound.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mtlbench.config.base import faults
from mtlbench.config.search import search_faults
from mtlbench.config.study import StudyConfig
from mtlbench.errors import StudyError

Place = tuple[str | int, ...]
"""Keys that lead to a value of the file, from the outermost to the innermost."""
STAND_INS: Mapping[str, Any] = {
    "name": "study",
    "dataset": "phantom",
    "seeds": [0],
    "baseline": {},
    "budget": {"epochs": 1000},
    "arms": [{"name": "arm"}],
    "compare": {"choose": "val.auc"},
}


def load_study(path: Path) -> StudyConfig:
    """Read and validate a study file.

    Raises:
        StudyError: with one line per fault, each `file: dotted.key: what must hold`.
    """
    study, lines = read_tables(path)
    if lines:
        raise StudyError("\n".join(lines))
    return study


def read_tables(path: Path) -> tuple[StudyConfig, list[str]]:
    """Give what is sound of a study file, with stand-ins, and a line per fault.

    Raises:
        StudyError: the file is not TOML.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: not valid TOML: {error}") from None
    study, lines = _validated(raw)
    return study, [f"{path}: {_with_arm_name(line, raw)}" for line in lines]


def _validated(raw: Mapping[str, Any]) -> tuple[StudyConfig, list[str]]:
    """The file's tables, mended until they are sound, and what was wrong with them."""
    lines: list[str] = []
    broken: set[str] = set()
    while True:  # a second time where what an arm's tables say of each other is wrong
        try:
            study = StudyConfig.model_validate(raw)
        except ValidationError as error:
            lines += faults(error)
            broken |= {table for fault in error.errors() for table in _tables(fault)}
            raw = _mended(raw, [fault["loc"] for fault in error.errors()])
        else:
            sound = (check(study) for reads, check in _CHECKS if not reads & broken)
            return study, lines + [line for check in sound for line in check]


def _tables(fault: Mapping[str, Any]) -> Set[str]:
    """Which tables a fault makes unknown; those of arms are taken together."""
    table, *rest = fault["loc"]
    if table != "arms" or len(rest) > 1:
        return {table if table != "arms" else f"arms.{rest[1]}"}
    is_table = fault["type"] == "value_error"  # the arm's own tables disagree
    return {"arms.vary", "arms.search"} | (set() if is_table else {"arms.name"})


def _mended(raw: Mapping[str, Any], places: list[Place]) -> dict[str, Any]:
    """The file without what is at fault."""
    at_fault = {place[0] for place in places}
    mended = {key: value for key, value in raw.items() if key not in at_fault}
    mended |= {key: value for key, value in STAND_INS.items() if key in at_fault}
    arms = raw.get("arms")
    if isinstance(arms, list) and arms:
        mended["arms"] = [
            _mended_arm(
                arm, number, [place[2:] for place in places if place[:2] == ("arms", number)]
            )
            for number, arm in enumerate(arms)
        ]
    return mended


def _mended_arm(arm: object, number: int, places: list[Place]) -> object:
    """An arm without what is at fault; one whose tables disagree keeps what it sets."""
    if not isinstance(arm, Mapping):
        return {"name": f"arm-{number}"}
    if () in places:
        return {key: value for key, value in arm.items() if key in ("name", "set")}
    at_fault = {place[0] for place in places}
    mended = {key: value for key, value in arm.items() if key not in at_fault}
    if "name" in at_fault:
        mended["name"] = f"arm-{number}"
    for table in {"vary", "search"} & at_fault:
        if isinstance(arm.get(table), Mapping):
            mended[table] = {
                key: value
                for key, value in arm[table].items()
                if (table, key) not in {place[:2] for place in places}
                and not _is_conditional(value)
            }
    return mended


def _is_conditional(value: object) -> bool:
    """Whether a key is searched under a condition on another, which may be at fault."""
    return isinstance(value, Mapping) and "when" in value


def _names(study: StudyConfig) -> Iterator[str]:
    names = [arm.name for arm in study.arms]
    if doubles := sorted({name for name in names if names.count(name) > 1}):
        yield f"arms: names must be unique, but {doubles} come twice"


def _seeds(study: StudyConfig) -> Iterator[str]:
    if len(set(study.seeds)) < len(study.seeds):
        yield f"seeds: must be unique, but got {study.seeds}"


def _baseline(study: StudyConfig) -> Iterator[str]:
    names = [arm.name for arm in study.arms]
    wanted = [study.baseline] if isinstance(study.baseline, str) else study.baseline.values()
    if missing := sorted(set(wanted) - set(names)):
        yield f"baseline: must be one of the arms {names}, but got {missing}"


def _kind(study: StudyConfig) -> Iterator[str]:
    is_searched = any(arm.search for arm in study.arms)
    if study.kind == "ablation" and (study.search is not None or is_searched):
        yield 'kind: must be "search", since the study has `search`'
    if study.kind == "search" and (study.search is None or not is_searched):
        yield 'kind: "search" must have [search], and an arm with `search`'


def _search(study: StudyConfig) -> Iterator[str]:
    if study.search is not None:
        found = search_faults(study.search, study.trial_seeds, study.seeds, study.data.folds)
        yield from (f"search.{fault}" for fault in found)


_CHECKS: list[tuple[Set[str], Callable[[StudyConfig], Iterator[str]]]] = [
    ({"arms.name"}, _names),
    ({"seeds"}, _seeds),
    ({"baseline", "arms.name"}, _baseline),
    ({"kind", "search", "arms.search"}, _kind),
    ({"search", "seeds", "data"}, _search),
]
"""The tables that a check reads, and the check."""


def _with_arm_name(line: str, raw: Mapping[str, Any]) -> str:
    """`arms.2.vary` as `arms.joint.vary`, where the file gives that arm a name."""
    place = re.match(r"arms\.(\d+)", line)
    if place is None:
        return line
    arm = raw["arms"][int(place[1])]
    name = arm.get("name") if isinstance(arm, Mapping) else None
    return f"arms.{name}{line[place.end() :]}" if isinstance(name, str) else line
