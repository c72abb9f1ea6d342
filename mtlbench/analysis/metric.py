"""The metrics by name: what each needs, how it is prepared, and which interval is its default.

The default intervals are those whose measured coverage is nearest to nominal: docs/statistics.md.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from mtlbench.analysis.align import Arm, Cases
from mtlbench.analysis.froc import RATES
from mtlbench.analysis.intervals import LOGIT, NOT_NEGATIVE, STUDENTISED, Scale
from mtlbench.analysis.masks import dice_statistic, froc_statistic
from mtlbench.analysis.ranked import (
    Functional,
    average_precision,
    brier_score,
    partial_auc,
    sensitivity_at,
    specificity_at,
)
from mtlbench.analysis.scores import (
    auc_statistic,
    calibration_statistic,
    ranked_statistic,
)
from mtlbench.analysis.statistic import Statistic
from mtlbench.errors import StudyError

DICE = ("dice", "dice_lesions", "dice_any", "dice_image")
METRICS = (
    *("auc", *DICE),
    *("sens_at_spec90", "spec_at_sens90", "pauc_spec90", "ap", "brier", "ece", "froc"),
)
"""Those of a full report. The numbers in a name may be others: see `find_metric`."""

Build = Callable[[Cases, Sequence[Arm]], Statistic]


@dataclass(frozen=True)
class Metric:
    """How one metric is prepared and read."""

    name: str
    needs: Literal["scores", "masks", "findings"]
    build: Build
    method: str = STUDENTISED
    """Default of its intervals."""
    scale: Scale = LOGIT
    higher_is_better: bool = True


def find_metric(name: str) -> Metric:
    """Look a metric up by name.

    `sens_at_spec90`: sensitivity where specificity is 90 %; `spec_at_sens90` the other way round;
    `pauc_spec90`: partial AUC over specificities of 90 % and more, standardised; `froc`: mean
    sensitivity to lesions at 0.25, 0.5, 1, 2 and 4 false positives per image, `froc_at_1` at one.

    Raises:
        StudyError: there is none of that name.

    """
    if name in _FIXED:
        return _FIXED[name]
    if match := re.fullmatch(r"(sens_at_spec|spec_at_sens|pauc_spec)([1-9]\d?)", name):
        missed = (100 - int(match[2])) / 100  # exactly the nearest number, as k/N is: ties count
        return _ranked(name, _AT[match[1]](missed), by_class=True)
    if (match := re.fullmatch(r"froc_at_(\d+(?:\.\d+)?)", name)) and float(match[1]) > 0:
        return _froc(name, [float(match[1])])
    raise StudyError(
        f"a metric must be one of {', '.join(METRICS)} (or with another number than 90, or "
        f"froc_at_1 and the like), but got {name!r}"
    )


def _ranked(
    name: str, functional: Functional, *, by_class: bool, higher_is_better: bool = True
) -> Metric:
    build = partial(ranked_statistic, name, functional=functional, by_class=by_class)
    return Metric(name, "scores", build, higher_is_better=higher_is_better)


def _froc(name: str, rates: Sequence[float]) -> Metric:
    return Metric(name, "findings", partial(froc_statistic, name, rates=rates))


_AT: dict[str, Callable[[float], Functional]] = {
    "sens_at_spec": sensitivity_at,
    "spec_at_sens": specificity_at,
    "pauc_spec": partial_auc,
}
"""Beginning of a name → functional, from what the share in the name leaves."""

_FIXED = {
    metric.name: metric
    for metric in (
        Metric("auc", "scores", auc_statistic),
        *(Metric(name, "masks", partial(dice_statistic, name)) for name in DICE),
        _ranked("ap", average_precision, by_class=False),
        _ranked("brier", brier_score, by_class=False, higher_is_better=False),
        Metric(
            "ece",
            "scores",
            partial(calibration_statistic, "ece"),
            scale=NOT_NEGATIVE,
            higher_is_better=False,
        ),
        _froc("froc", RATES),
    )
}
