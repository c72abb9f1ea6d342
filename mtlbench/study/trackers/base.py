"""What a tracker is told, and the plain forms of a run's configuration and numbers."""

import re
from collections.abc import Mapping
from typing import Any, Protocol

from mtlbench.records import canonical_json
from mtlbench.training.state import EpochRow

Scalar = str | int | float | bool


class Tracker(Protocol):
    """Mirrors a study's runs into another tool; whatever it raises, the study goes on.

    Runs are named by their hash. A run may begin again, in this process or in a later one: it goes
    on in the tracker's same run, and epochs may come twice, with the same numbers.
    """

    def begun(self, name: str, label: str, config: Mapping[str, Any]) -> None:
        """A run is handed out: its hash, what people call it, and its hashed configuration."""

    def epoch(self, name: str, row: EpochRow) -> None:
        """A run has finished an epoch: its row of `history.csv`."""

    def ended(self, name: str, record: Mapping[str, Any]) -> None:
        """A run is complete, pruned, or has failed for good: its `record.json`."""

    def close(self) -> None:
        """Nothing more comes; runs that are still open stopped on the way."""


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """What can be drawn of a row or a record's validation metrics: its numbers, without `step`."""
    return {
        key: float(value)
        for key, value in values.items()
        if isinstance(value, int | float) and key != "step"
    }


def outcome(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers that a run ends with: validation metrics, and seconds where it says them."""
    return {f"validation/{k}": v for k, v in numbers(record.get("validation") or {}).items()} | (
        numbers({"wall_s": record.get("wall_s")})
    )


def step(row: EpochRow) -> int:
    """The optimisation steps of the run's own stage at the end of a row's epoch."""
    return int(row["step"] or 0)


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Scalar]:
    """A nested configuration as dotted keys; lists by index, what is null or empty left out."""
    plain: dict[str, Scalar] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            plain |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            plain |= flat({str(i): v for i, v in enumerate(value)}, f"{prefix}{key}.")
        elif isinstance(value, str | int | float | bool):
            plain[f"{prefix}{key}"] = value
        elif value:
            plain[f"{prefix}{key}"] = canonical_json(value)
    return plain


def file_name(label: str) -> str:
    """A label as a name of a folder on any system: `joint [loss.lambda=0.1]`, at most 100 long."""
    return re.sub(r"[^\w .,=+\[\]-]", "_", label)[:100].strip(" .")
