"""The space that an arm searches: which keys hold where, its corners, and values as text."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from mtlbench.config import Arm, Distribution, same
from mtlbench.errors import StudyError
from mtlbench.records import canonical_json

Params = Mapping[str, Any]
"""Dotted key → value of each key that a configuration searches."""


def holds(distribution: Distribution, params: Params) -> bool:
    """Whether a key is searched where the earlier keys have these values."""
    return all(
        key in params and any(same(params[key], value) for value in _choices(values))
        for key, values in distribution.when.items()
    )


def is_conditional(arm: Arm) -> bool:
    """Whether a key of the arm is searched under a condition."""
    return any(distribution.when for distribution in arm.search.values())


def corners(arm: Arm) -> Iterator[dict[str, Any]]:
    """Yield points that reach each end of every range, and every choice, under each strategy."""
    strategies = _ends(arm.search["strategy"]) if "strategy" in arm.search else [None]
    for key, distribution in arm.search.items():
        for value in _ends(distribution):
            for strategy in strategies:
                forced = {} if strategy is None else {"strategy": strategy}
                yield _corner(arm, forced | _conditions(arm, key) | {key: value})


def middle(arm: Arm) -> dict[str, Any]:
    """One point that stands for the space: the middle of every range and list of choices."""
    params: dict[str, Any] = {}
    for key, distribution in arm.search.items():
        if holds(distribution, params):
            params[key] = _middle(distribution)
    return params


def read_value(distribution: Distribution, text: str) -> Any:
    """The value that `plain` has written as `text`.

    Raises:
        ValueError: the distribution has no such value.
    """
    if distribution.choices is not None:
        named = {plain(choice): choice for choice in distribution.choices}
        if text not in named:
            raise ValueError(f"{text!r} is none of the choices {list(named)}")
        return named[text]
    value = int(text) if distribution.whole else float(text)
    low, high = distribution.ends
    if not low <= value <= high:
        raise ValueError(f"{text} is not from {low} to {high}")
    return value


def read_params(arm: Arm, row: Mapping[str, str | None]) -> dict[str, Any]:
    """A trial's values from its row of trials.csv.

    Raises:
        StudyError: the row is not of the arm's space.
    """
    params: dict[str, Any] = {}
    for key, distribution in arm.search.items():
        text = row.get(key) or ""
        if (text != "") != holds(distribution, params):
            raise StudyError(f"arms.{arm.name}.search.{key}: was searched elsewhere so far")
        if text:
            try:
                params[key] = read_value(distribution, text)
            except ValueError as error:
                raise StudyError(f"arms.{arm.name}.search.{key}: {error}") from None
    return params


def plain(value: object) -> str:
    """A value as text: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else canonical_json(value)


def _choices(values: object) -> list[Any]:
    return values if isinstance(values, list) else [values]


def _ends(distribution: Distribution) -> list[Any]:
    return distribution.choices or list(distribution.ends)


def _middle(distribution: Distribution) -> Any:
    if distribution.choices is not None:
        return distribution.choices[len(distribution.choices) // 2]
    low, high = distribution.ends
    value = math.sqrt(low * high) if distribution.log else (low + high) / 2
    if distribution.step is not None:
        value = low + round((value - low) / distribution.step) * distribution.step
    return round(value) if distribution.whole else value


def _conditions(arm: Arm, key: str) -> dict[str, Any]:
    """Values of earlier keys under which a key is searched."""
    found: dict[str, Any] = {}
    for earlier, values in arm.search[key].when.items():
        found |= _conditions(arm, earlier) | {earlier: _choices(values)[0]}
    return found


def _corner(arm: Arm, forced: Params) -> dict[str, Any]:
    """The first end of every key that holds, but for those that are forced."""
    params: dict[str, Any] = {}
    for key, distribution in arm.search.items():
        if holds(distribution, params):
            params[key] = forced.get(key, _ends(distribution)[0])
    return params
