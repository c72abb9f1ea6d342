"""What makes a published number comparable with ours: fields that both state, and alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from mtlbench.analysis.metric import DICE
from mtlbench.analysis.published import LAST, ClassName, PublishedEntry, PublishedRow
from mtlbench.config import CLASSES

OF_AUC = ("level",)
OF_DICE = ("classes", "pooling")
OF_ROW = (*OF_DICE, "ensemble", "stage")
"""What a row states; the rest is its entry's."""
PROTOCOL = (
    *("dataset", "label_rule", *OF_AUC, *OF_DICE),
    *("input", "size", "split", "views", "ensemble", "stage"),
)
"""The fields that must agree before two numbers are compared."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What two protocols say in a field; empty where one does not state it."""

    theirs: str
    ours: str

    @property
    def stated(self) -> bool:
        """Whether both state it, and differ; else nobody knows."""
        return bool(self.theirs and self.ours)

    def __str__(self) -> str:
        return f"in the paper {self.theirs or 'not stated'}, here {self.ours or 'not stated'}"


def fields_of(metric: str) -> tuple[str, ...]:
    """Those of `PROTOCOL` that decide for a metric."""
    other = OF_AUC if metric in DICE else OF_DICE
    return tuple(field for field in PROTOCOL if field not in other)


def own_protocol(
    metric: str, classes: Sequence[str], fields: Mapping[str, str]
) -> Mapping[str, str]:
    """Our own values of `PROTOCOL` under a metric.

    Args:
        metric: its name.
        classes: of a Dice: those that were averaged.
        fields: of `PROTOCOL`, those that the metric does not decide.
    """
    if metric not in DICE:
        return fields
    pooling = "image" if metric == "dice_image" else "test set"
    return {**fields, "classes": _class_words(classes), "pooling": pooling}


def mismatches(
    entry: PublishedEntry, row: PublishedRow, protocol: Mapping[str, str]
) -> dict[str, Mismatch]:
    """Say in which fields a published number is not comparable with ours; empty where it is.

    A field that a side does not state is a mismatch. Texts are compared without regard to case.

    Args:
        entry: of the registry.
        row: of the entry.
        protocol: ours, by `own_protocol` of the row's metric; the stage is the last unless it says.
    """
    found, ours_by_field = {}, {"stage": LAST, **protocol}
    for field in fields_of(row.metric):
        theirs, ours = stated(entry, row, field), ours_by_field.get(field, "")
        if not theirs or theirs.casefold() != ours.casefold():
            found[field] = Mismatch(theirs, ours)
    return found


def stated(entry: PublishedEntry, row: PublishedRow | None, field: str) -> str:
    """Give the words for a field of `PROTOCOL`; empty where the source does not state it."""
    value = getattr(row if field in OF_ROW else entry, field)
    if field == "size" and value:
        return "x".join(map(str, value))
    return _class_words(value or ()) if field == "classes" else value or ""


def verdict(found: Mapping[str, Mismatch]) -> str:
    """`not comparable: dataset, size; split (not stated)`; empty where nothing was found."""
    differ = [field_words(field) for field, one in found.items() if one.stated]
    open_ = [field_words(field) for field, one in found.items() if not one.stated]
    parts = [", ".join(differ), f"{', '.join(open_)} (not stated)" if open_ else ""]
    return f"not comparable: {'; '.join(filter(None, parts))}" if found else ""


def field_words(field: str) -> str:
    """Words for a field of `PROTOCOL`."""
    return f"Dice {field}" if field in OF_DICE else field.replace("_", " ")


def _class_words(classes: Sequence[str]) -> str:
    if {*classes} == {*CLASSES}:
        return "all five"
    return ", ".join(name for name in get_args(ClassName) if name in classes)
