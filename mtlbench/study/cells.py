"""A study's cells: every arm at every point of its swept values, validated.

A point is the values that an arm's `vary` or `search` gives its keys. Of a search, the corners of
the space are validated; its cells are those that it finds.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mtlbench.config import Arm, RunConfig, StudyConfig, faults, read_tables
from mtlbench.errors import StudyError
from mtlbench.records import trial_cell
from mtlbench.study.data import StudyData
from mtlbench.study.names import (
    check_names,
    check_objectives,
    check_parts,
    check_point,
    check_study,
)
from mtlbench.study.search.space import corners, plain
from mtlbench.training.strategies import STRATEGIES

Values = Mapping[str, Any]
"""Dotted key → value."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A row of the full table: an arm, its swept values, and the configuration they make."""

    arm: str
    varied: Mapping[str, Any]
    config: RunConfig
    trial: int | None = None
    """The trial of a search that has found it."""

    @property
    def label(self) -> str:
        """`arm`, `arm [key=value, ...]` for a swept point, `arm [trial 12]` for a found one."""
        if self.trial is not None:
            return trial_cell(self.arm, self.trial)
        values = ", ".join(f"{key}={plain(value)}" for key, value in self.varied.items())
        return f"{self.arm} [{values}]" if values else self.arm


def read_study_file(path: Path) -> tuple[StudyConfig, list[Cell]]:
    """Read a study file and lay out its cells.

    Raises:
        StudyError: one line per fault, of the whole file, each `file: dotted.key: what must hold`.
    """
    study, lines = read_tables(path)
    try:
        cells = expand(study, str(path))
    except StudyError as error:
        lines += str(error).splitlines()
    if lines:
        raise StudyError("\n".join(dict.fromkeys(lines)))
    return study, cells


def expand(study: StudyConfig, source: str = "study") -> list[Cell]:
    """Every cell of a study, validated; an arm with `search` has none before its search is done.

    `source` is the study file's path.

    Raises:
        StudyError: one line per fault, with the dotted key it stands under.
    """
    cells: list[Cell] = []
    errors: list[str] = []
    for arm in study.arms:
        for varied in _points(arm):
            try:
                errors += _faults(study, arm, varied)
                cells.append(Cell(arm.name, varied, resolve(study, arm, varied)))
            except StudyError as error:
                errors += str(error).splitlines()
    errors += check_study(study, Path(source).parent)
    if errors:
        raise StudyError("\n".join(f"{source}: {line}" for line in dict.fromkeys(errors)))
    searched = {arm.name for arm in study.arms if arm.search}
    return [cell for cell in cells if cell.arm not in searched]


def resolve(study: StudyConfig, arm: Arm, varied: Values) -> RunConfig:
    """`[base]` and `[budget]`, with the arm's `set` and one point of its `vary` or `search` on top.

    Raises:
        StudyError: one line per fault, with the dotted key it stands under.
    """
    config, _, lines = _sound(study, arm, varied)
    if lines:
        raise StudyError("\n".join(lines))
    return config


def refuse_large_batches(study: StudyConfig, data: StudyData, source: str = "study") -> None:
    """Raise StudyError where a batch would take more than the training cases there are.

    It would be one smaller batch an epoch, whatever the study says. A range of a search is refused
    by its `high`.
    """
    cases, lines = data.training_cases, {}
    for arm in study.arms:
        for varied in _points(arm):
            size = resolve(study, arm, varied).optim.batch_size
            if size > cases:
                place = _place("optim.batch_size", arm, varied)
                lines[place, size] = (
                    f"{source}: {place}: must be at most the number of training cases, {cases}, "
                    f"but got {size}"
                )
    if lines:
        raise StudyError("\n".join(lines.values()))


def _points(arm: Arm) -> Iterable[dict[str, Any]]:
    """What an arm varies: every point of its grid, or the corners of its search."""
    if arm.search:
        return corners(arm)
    grid = itertools.product(*arm.vary.values())
    return (dict(zip(arm.vary, values, strict=True)) for values in grid)


def _faults(study: StudyConfig, arm: Arm, varied: Values) -> Iterator[str]:
    """Yield a line per fault of a point; what is at fault in itself is not looked at further."""
    config, values, lines = _sound(study, arm, varied)
    yield from lines
    point = {key: value for key, value in varied.items() if key in values}
    named = [
        *check_names(config),
        *check_parts(config.optim, study.resources),
        *check_point(arm, point, config),
    ]
    yield from (f"{_place(key, arm, varied)}: {fault}" for key, fault in named)
    if config.strategy in STRATEGIES:
        STRATEGIES[config.strategy](config)  # which may refuse the budget
        if arm.search and study.search:
            yield from check_objectives(study.search, arm, config)


def _sound(
    study: StudyConfig, arm: Arm, varied: Values
) -> tuple[RunConfig, dict[str, Any], list[str]]:
    """A point's configuration without what is at fault, its values, and a line per fault."""
    base = {key: value for key, value in study.base.items() if key != "budget"}
    lines = ["base.budget: unknown key: the budget is [budget], for all arms"]
    lines = lines if "budget" in study.base else []
    budget = {"budget": study.budget.model_dump(exclude_none=True)}
    values = flatten(base) | flatten(budget) | flatten(arm.set) | dict(varied)
    while True:  # every fault takes the value away that it stands at
        try:
            return RunConfig.model_validate(_nest(values)), values, lines
        except ValidationError as error:
            found = [line.partition(": ") for line in faults(error)]
        lines += [f"{_place(key, arm, varied)}: {fault}" for key, _, fault in found]
        wrong = ["budget" if key.startswith("budget.") else key for key, *_ in found]
        values = {k: v for k, v in values.items() if not any(_meet(k, key) for key in wrong)}


def _place(key: str, arm: Arm, varied: Values) -> str:
    """The dotted key under which the study file says `key`, or a part of it."""
    for group, keys in (("search" if arm.search else "vary", varied), ("set", flatten(arm.set))):
        for own in keys:
            if _meet(own, key):
                return f"arms.{arm.name}.{group}.{max(own, key, key=len)}"
    return key if key.startswith("budget") else f"base.{key}"


def _meet(a: str, b: str) -> bool:
    """Whether two dotted keys are the same, or one is a part of the other."""
    return a == b or a.startswith(f"{b}.") or b.startswith(f"{a}.")


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables and dotted keys alike become dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for dotted, value in flat.items():
        *parents, last = dotted.split(".")
        table = nested
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise StudyError(f"{dotted}: unknown key")
        table[last] = value
    return nested
