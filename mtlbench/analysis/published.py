"""Numbers of the literature, each with its protocol and whether its source was read."""

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from mtlbench.config import Fraction, Positive, Strict, faults
from mtlbench.config.base import FromList
from mtlbench.errors import StudyError

REGISTRY = "published.toml"
"""The registry's file here; a user's own takes this name in the results folder of a study."""
ClassName = Literal[
    "healthy",
    "benign mass",
    "malignant mass",
    "benign calcification",
    "malignant calcification",
    "lesion",
    "mass",
    "calcification",
    "cancer",
]
"""What a Dice is of: the five classes here, `lesion` of `dice_any`, and classes of others."""
Stage = Literal["last", "before the last"]
LAST, BEFORE_LAST = get_args(Stage)
_RULE = re.compile(
    r"(malignant|any lesion|BI-RADS (3|4|4b|4c|5|6) and above) against the rest"
    r"(, benign without callback left out)?(, normals left out)?"
)


def _known_rule(rule: str) -> str:
    """Hold a label rule to the words of `LabelRule.describe`, or to `any lesion`."""
    if not _RULE.fullmatch(rule):
        raise ValueError(
            "must be 'WHAT against the rest', WHAT malignant, any lesion or BI-RADS 4 and above "
            "(or 3, 4b, 4c, 5, 6), then perhaps ', benign without callback left out' and "
            f"', normals left out', but got {rule!r}"
        )
    return rule


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
    classes: FromList[tuple[ClassName, ...]] | None = None
    """Dice: whose mean it is."""
    pooling: Literal["test set", "image"] | None = None
    """Dice: whether pixels are summed over the test set, or each image has a Dice of its own."""
    ensemble: Literal["none", "test-time augmentation", "several models"] | None = None
    stage: Stage = "last"
    """After which stage of a strategy that trains in several the model was measured."""

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
        if self.metric == "auc" and (self.classes or self.pooling):
            raise ValueError("classes and pooling are those of a Dice")
        return self


class PublishedEntry(Strict):
    """The numbers that a source gives by one protocol; a field that it does not state is None."""

    id: str
    paper: str
    year: int | None = None
    status: Literal["verified", "secondary", "unverified"]
    """verified: read there; secondary: read in a copy, an abstract or another work."""
    source: str
    note: str | None = None
    dataset: str | None = None
    """Its name here, and which part or version where it matters: `CBIS-DDSM, mass images only`."""
    label_rule: Annotated[str, AfterValidator(_known_rule)] | None = None
    level: Literal["image", "breast", "case", "patient", "lesion"] | None = None
    """What has one score of its own."""
    input: Literal["whole image", "breast", "region of interest"] | None = None
    size: FromList[tuple[Positive, Positive]] | None = None
    """Height and width in pixels."""
    split: str | None = None
    views: Literal["one", "two", "four"] | None = None
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
    named = {key: {**table, "id": key} for key, table in tables.items()}
    try:
        return TypeAdapter(dict[str, PublishedEntry]).validate_python(named)
    except ValidationError as error:
        raise StudyError("\n".join(f"{where}: {line}" for line in faults(error))) from None


def unknown(entries: Mapping[str, PublishedEntry], name: str) -> str:
    """Say that there is no such entry, and which come close; empty where there is one."""
    if name in entries:
        return ""
    close = " or ".join(map(repr, get_close_matches(name, entries)))
    hint = f"did you mean {close}? " if close else ""
    return f"{name!r} is not in the registry; {hint}`mtlbench published list` shows all"


def why_disabled(entries: Mapping[str, PublishedEntry], name: str) -> str:
    """Say why an entry cannot be set beside other numbers; empty where it can."""
    if fault := unknown(entries, name):
        return fault
    if not entries[name].enabled:
        return f"{name!r} is disabled, because unverified: its source was not read"
    return ""
