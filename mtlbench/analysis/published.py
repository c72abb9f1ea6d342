"""Numbers of the literature, each with its protocol: what makes it comparable or not."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from mtlbench.config import Fraction, Positive, Strict, faults
from mtlbench.errors import StudyError

REGISTRY = "published.toml"
"""The registry's file here; a user's own takes this name in the results folder of a study."""
PROTOCOL = (
    "dataset",
    "version",
    "label_rule",
    "level",
    "input",
    "split",
    "views",
    "ensemble",
    "metric_definition",
)
"""The fields that must agree before two numbers are compared."""


class PublishedRow(Strict):
    """One number: a model or strategy, a metric, and the uncertainty that the source states."""

    name: str
    metric: Literal["auc", "dice", "dice_lesions", "dice_any", "dice_image"]
    value: Fraction
    low: Fraction | None = None
    """Of a 95 % interval, with `high`."""
    high: Fraction | None = None
    sd: Fraction | None = None
    sd_of: str | None = None
    """What varies: test cases (one word of `against.CASES`), or seeds, folds, configurations."""
    n: Positive | None = None
    """How many of them."""
    n_positive: Positive | None = None
    n_negative: Positive | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """An interval has two limits around the value, a test set two classes."""
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high must come together")
        low, high = self.low or 0.0, 1.0 if self.high is None else self.high
        if not low <= self.value <= high or low == high:
            raise ValueError(f"value must lie between low and high, but they are {low} and {high}")
        if (self.n_positive is None) != (self.n_negative is None):
            raise ValueError("n_positive and n_negative must come together")
        return self


class PublishedEntry(Strict):
    """The numbers that a source gives by one protocol; a field that it does not state is None."""

    id: str
    paper: str
    year: int | None = None
    status: Literal["verified", "secondary", "unverified"]
    source: str
    dataset: str | None = None
    version: str | None = None
    label_rule: str | None = None
    level: Literal["image", "breast", "case", "patient", "lesion"] | None = None
    input: str | None = None
    split: str | None = None
    views: str | None = None
    ensemble: str | None = None
    metric_definition: str | None = None
    rows: tuple[PublishedRow, ...] = Field((), strict=False)

    @property
    def enabled(self) -> bool:
        """Whether it may be drawn: somebody has read its source."""
        return self.status != "unverified"


def load_published(extra: Path | None = None) -> dict[str, PublishedEntry]:
    """Read the registry by id; `extra`, a TOML file of the same form, adds entries or replaces.

    Raises:
        StudyError: where `extra` is not such a file, with a line per fault.

    """
    registry = resources.files("mtlbench.analysis").joinpath(REGISTRY)
    entries = _parse(registry.read_text(encoding="utf-8"), REGISTRY)
    if extra is not None:
        try:
            text = extra.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StudyError(f"{extra}: cannot be read: {error}") from None
        entries |= _parse(text, str(extra))
    return entries


def _parse(text: str, where: str) -> dict[str, PublishedEntry]:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{where}: not valid TOML: {error}") from None
    if stray := [key for key, table in tables.items() if not isinstance(table, dict)]:
        raise StudyError(f"{where}: {stray[0]}: must be the table of an entry")
    named = {key: {"id": key, **table} for key, table in tables.items()}
    try:
        return TypeAdapter(dict[str, PublishedEntry]).validate_python(named)
    except ValidationError as error:
        raise StudyError("\n".join(f"{where}: {line}" for line in faults(error))) from None


def mismatches(entry: PublishedEntry, protocol: Mapping[str, str]) -> dict[str, str]:
    """Say why a published number is not comparable with ours: field → why; empty where it is.

    Args:
        entry: of the registry.
        protocol: our own values of the fields in `PROTOCOL`. A field that one side alone
            states counts as a mismatch, one that neither states does not; texts are compared
            without regard to case.

    """
    reasons = {}
    for field in PROTOCOL:
        theirs, ours = getattr(entry, field), protocol.get(field)
        if (theirs or "").casefold() != (ours or "").casefold():
            reasons[field] = f"{theirs or 'not stated'} in the paper, {ours or 'not stated'} here"
    return reasons
