"""Words and types that all of a study file shares, and how its faults are told."""

import itertools
import re
from typing import Annotated, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)

SCHEMA = 3
"""Version of everything that a run's hash covers; raised when a change alters results."""

CLASSES = (
    "healthy",
    "benign mass",
    "malignant mass",
    "benign calcification",
    "malignant calcification",
)
IGNORED = 255
"""Mask value of a pixel that counts for nothing: a lesion whose class is none of the four."""

HIT_IOU = 0.1
"""Least intersection over union of a candidate and the lesion that it hits."""

BIRADS_SETS = ("inbreast", "vindr")
"""Data sets without biopsy: their labels come from BI-RADS categories."""

T = TypeVar("T")
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
FromList = Annotated[T, Field(strict=False)]
"""A tuple that TOML writes as an array."""
ManualWeights = tuple[float, float, float, float, float]
Intensity = Literal["raw", "window", "optical-density"]
ValidationMetric = Literal["val.auc", "val.dice", "val.dice_lesions", "val.dice_any"]


class Strict(BaseModel):
    """Frozen, no unknown keys, no silent conversion of strings to numbers."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, strict=True, allow_inf_nan=False
    )


def faults(error: ValidationError) -> list[str]:
    """One line `dotted.key: what must hold, but got value` per key at fault.

    Of a choice between several types, the first one's fault is told; a validator that finds
    several faults raises them as the lines of one message.
    """
    lines: dict[str, list[str]] = {}
    for fault in error.errors():
        parts = itertools.takewhile(_is_key, fault["loc"])
        key = ".".join(str(part) for part in parts)
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = "unknown key"
        elif fault["type"] not in ("missing", "value_error"):
            message = f"{message}, but got {fault['input']!r}"
        lines.setdefault(key, [_joined(key, line) for line in message.splitlines()])
    return [line for told in lines.values() for line in told]


def _joined(key: str, message: str) -> str:
    goes_on = re.match(r"[a-z][\w.-]*: ", message)  # with a part of the key
    return f"{key}{'.' if goes_on else ': '}{message}" if key else message


def _is_key(part: str | int) -> bool:
    """Whether a part of a fault's place is in the file; pydantic adds the types it has tried."""
    return part not in ("str", "int", "float", "bool") and "[" not in str(part)
