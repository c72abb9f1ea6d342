"""Groups of test cases: by a column of the cases, or by the lesions in the truth.

N = cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mtlbench.analysis.align import Arm, Cases
from mtlbench.analysis.dice import ALL
from mtlbench.analysis.frame import Floats, Mask, as_text
from mtlbench.config import CLASSES
from mtlbench.errors import DataError, StudyError

DERIVED = ("lesion_type", "lesion_size")
"""Of the truth in the predictions; the others are columns of `cases.csv`."""
LESIONS = tuple(range(1, len(CLASSES)))
MASSES, CALCIFICATIONS = (1, 2), (3, 4)


@dataclass(frozen=True, eq=False)
class Group:
    """Some of the cases."""

    name: str
    inside_N: Mask
    classes: frozenset[int] = frozenset(ALL)
    """Those that a mean over classes takes: an image of a mass may hold calcifications too."""


def find_groups(cases: Cases, table: pd.DataFrame | None, variable: str) -> list[Group]:
    """Split the cases by a variable; what has no value of it is in no group.

    `lesion_type` and `lesion_size` put cases without a lesion into every group.

    Raises:
        DataError: a case is not in `table`, or has two values there.
        StudyError: there is no such variable, or no truth to derive it from.

    """
    if variable == "lesion_type":
        return _by_type(cases)
    if variable == "lesion_size":
        return _by_size(cases)
    text_N = _column(cases, table, variable)
    return [Group(name, text_N == name) for name in sorted({*text_N} - {"", "nan"})]


def merged(groups: Sequence[Group]) -> Group:
    """The cases of several groups."""
    return Group(
        "the others",
        np.any([group.inside_N for group in groups], axis=0),
        frozenset(k for group in groups for k in group.classes),
    )


def _by_type(cases: Cases) -> list[Group]:
    mass_N, calcification_N = (_area(cases, kind) > 0 for kind in (MASSES, CALCIFICATIONS))
    none_N = ~mass_N & ~calcification_N
    return [
        Group("mass", mass_N | none_N, frozenset({0, *MASSES})),
        Group("calcification", calcification_N | none_N, frozenset({0, *CALCIFICATIONS})),
    ]


def _by_size(cases: Cases) -> list[Group]:
    area_N = _area(cases, LESIONS)
    edges = np.quantile(area_N[area_N > 0], [1 / 3, 2 / 3]) if area_N.any() else (0, 0)
    third_N = np.searchsorted(edges, area_N, side="left")
    names = ("smallest third", "middle third", "largest third")
    return [Group(name, (third_N == k) | (area_N == 0)) for k, name in enumerate(names)]


def _area(cases: Cases, classes: Sequence[int]) -> Floats:
    """Pixels of some classes in the truth; 0 where there is no mask."""
    if cases.true_NK is None:
        raise StudyError("subgroups: lesion_type and lesion_size need masks")
    return np.asarray(np.nan_to_num(cases.true_NK[:, list(classes)]).sum(axis=1))


def _column(cases: Cases, table: pd.DataFrame | None, variable: str) -> np.ndarray:
    """The variable of each case as text, empty where it has none."""
    if table is None or variable not in table or "image_id" not in table:
        known = [] if table is None else [name for name in table.columns if name != "image_id"]
        raise StudyError(
            f"subgroups: must be {', '.join(DERIVED)} or a column of the cases "
            f"({', '.join(known)}), but got {variable!r}"
        )
    pairs = pd.DataFrame(
        {"image_id": as_text(table["image_id"]), variable: _whole(as_text(table[variable]))}
    )
    pairs = pairs[pairs["image_id"].isin(cases.image_N)].drop_duplicates()
    if absent := sorted({*cases.image_N} - {*pairs["image_id"]})[:10]:
        example = "" if table.empty else f" (the cases' ids are like {table['image_id'].iloc[0]!r})"
        raise DataError(
            f"cases: every test image must be there, but not {', '.join(absent)}{example}"
        )
    value_n = pairs.set_index("image_id")[variable]
    if value_n.index.has_duplicates:
        image = value_n.index[value_n.index.duplicated()][0]
        raise DataError(f"cases: {variable} must be one for an image, but {image} has two")
    return value_n.reindex(cases.image_N).to_numpy(str)


def _whole(text: "pd.Series[str]") -> "pd.Series[str]":
    """Whole numbers that a program wrote as 2.0, as it does where some are missing: 2."""
    floats = text.str.fullmatch(r"-?\d+\.0") | text.isin(["", "nan"])
    return text.str.removesuffix(".0") if floats.all() else text


def restrict(cases: Cases, arms: Sequence[Arm], kept_N: Mask) -> tuple[Cases, list[Arm]]:
    """Some of the cases; the patients that are drawn stay the same."""
    label_N, true_NK = cases.label_N, cases.true_NK
    fewer = replace(
        cases,
        image_N=cases.image_N[kept_N],
        patient_N=cases.patient_N[kept_N],
        fold_N=cases.fold_N[kept_N],
        label_N=None if label_N is None else label_N[kept_N],
        true_NK=None if true_NK is None else true_NK[kept_N],
    )

    def kept(stack_SN: Floats | None) -> Floats | None:
        return None if stack_SN is None else stack_SN[:, kept_N]

    return fewer, [
        replace(
            arm,
            score_SN=kept(arm.score_SN),
            pred_SNK=kept(arm.pred_SNK),
            both_SNK=kept(arm.both_SNK),
        )
        for arm in arms
    ]
