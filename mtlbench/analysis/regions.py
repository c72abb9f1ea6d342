"""AUC and Dice of each arm together: a confidence region, the Pareto front, who dominates whom.

A = arms that have both metrics, B = resamples, T = points of an outline, 2 = (AUC, Dice).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from mtlbench.analysis.align import Arm, align
from mtlbench.analysis.bootstrap import bootstrap
from mtlbench.analysis.frame import Floats, Mask
from mtlbench.analysis.intervals import (
    LOGIT,
    NO_VARIANCE,
    PERCENTILE,
    Estimate,
)
from mtlbench.analysis.metric import DICE, find_metric
from mtlbench.analysis.seeds import MIN_SEEDS, orh_variance
from mtlbench.errors import StudyError

OUTLINE = 181
"""Points of a region's outline, the first of them twice."""

Pair = tuple[Estimate, Estimate]
"""An arm's AUC and Dice."""


@dataclass(frozen=True)
class Joint:
    """What `joint` returns, in the order of the arms; those that lack a metric are not in it."""

    points: pd.DataFrame
    """Columns `arm`, `auc` and the Dice metric, of both `<metric>_se`, `<metric>_df` and
    `<metric>_radius` (in standard errors), `correlation` (these NaN where there is no region),
    `n_seeds`, `on_front`, `p_front`."""
    seeds: pd.DataFrame
    """Columns `arm`, `seed`, `auc` and the Dice metric."""
    dominance: pd.DataFrame
    """Columns `arm`, `other`, `p`: a row for each ordered pair."""


def joint(
    frames: Mapping[str, pd.DataFrame],
    *,
    metric: str = "dice",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Joint:
    """Estimate AUC and a Dice metric of each arm jointly, on shared draws of patients.

    The region of an arm is an ellipse where both metrics are logits, so that it stays within
    (0, 1); `outline` draws it. Its standard errors are those of the closed form
    (`intervals.clustered_t`), its correlation is that of the resamples. With three seeds or more
    an axis is as wide as seeds x cases make it (`seeds.orh_variance`), never narrower than the
    patients alone; what the seeds add counts as uncorrelated, since a few cannot tell a
    correlation. The radius of an axis is sqrt(2 F) standard errors, F the `level` quantile of
    F(2, df) with the axis' own df: for many patients that of chi-square with 2 degrees. Where df
    is small this is an approximation: at level 0.95 and a correlation of 0.5 a pair of t variates
    with 2 and 10 degrees is inside in 94.4 %, at a correlation of 0 in 95.1 %.

    Dominance and `p_front` are fractions of the resamples, hence of these trained models: an arm
    dominates another where it is at least as good on both metrics and better on one, and is on the
    front where no other arm dominates it.

    Args:
        frames: arm → predictions, as for `compare`.
        metric: the Dice metric.
        level: of the regions.
        resamples: draws of patients; those without a value of both metrics are left out.
        seed: of the draws.

    Raises:
        DataError: where a table is faulty or the arms' test cases differ.
        StudyError: where the metric is none of Dice.

    """
    if metric not in DICE:
        raise StudyError(f"metric must be one of {', '.join(DICE)}, but got {metric!r}")
    axes = ("auc", metric)
    cases, arms = align(frames)
    statistics = [find_metric(axis).build(cases, arms) for axis in axes]
    values_alone = dict.fromkeys(axes, PERCENTILE)
    found = bootstrap(statistics, {}, arms, len(cases.patients), resamples, seed, values_alone)
    arms = [arm for arm in arms if all((axis, arm.name, None) in found for axis in axes)]
    pairs = [(found["auc", arm.name, None], found[metric, arm.name, None]) for arm in arms]
    value_A12 = np.array([[[one.value for one in pair]] for pair in pairs]).reshape(-1, 1, 2)
    value_AB2 = np.array([_resamples(pair) for pair in pairs]).reshape(-1, resamples, 2)
    wins_AAB = dominates(value_AB2[:, np.isfinite(value_AB2).all(axis=(0, 2))])
    front_A1, front_AB = undominated(dominates(value_A12)), undominated(wins_AAB)
    points = [
        {"arm": arm.name, "n_seeds": len(arm.seeds), **_point(pair, axes, level)}
        for arm, pair in zip(arms, pairs, strict=True)
    ]
    of_region = [f"{axis}_{what}" for what in ("se", "df", "radius") for axis in axes]
    columns = ["arm", *axes, *of_region, "correlation", "n_seeds"]
    return Joint(
        pd.DataFrame(points, columns=columns).assign(
            on_front=front_A1[:, 0], p_front=_share(front_AB)
        ),
        _seeds(arms, pairs, axes),
        _dominance([arm.name for arm in arms], _share(wins_AAB)),
    )


def dominates(value_AB2: Floats) -> Mask:
    """Whether an arm (first axis) is at least as good as another on both and better on one, AAB."""
    auc_AB, dice_AB = value_AB2[..., 0], value_AB2[..., 1]
    no_worse_AAB = (auc_AB[:, None] >= auc_AB) & (dice_AB[:, None] >= dice_AB)
    better_AAB = (auc_AB[:, None] > auc_AB) | (dice_AB[:, None] > dice_AB)
    return np.asarray(no_worse_AAB & better_AAB)


def undominated(wins_AAB: Mask) -> Mask:
    """Which arms are on the Pareto front, AB, from `dominates`."""
    return np.asarray(~wins_AAB.any(axis=0))


def outline(value_2: Floats, se_2: Floats, correlation: float, radius_2: Floats) -> Floats:
    """Outline of a region in the two metrics, T × 2: centre and standard errors are fractions."""
    angle_T = np.linspace(0, 2 * np.pi, OUTLINE)
    error_2 = LOGIT.error(value_2, se_2**2)
    across_T = np.cos(angle_T)
    up_T = correlation * np.cos(angle_T) + np.sqrt(1 - correlation**2) * np.sin(angle_T)
    unit_T2 = np.stack([across_T, up_T], axis=1)
    return np.asarray(special.expit(special.logit(value_2) + radius_2 * error_2 * unit_T2))


def _point(pair: Pair, axes: Sequence[str], level: float) -> dict[str, Any]:
    values = dict(zip(axes, (one.value for one in pair), strict=True))
    if not all(map(_has_region, pair)):
        return values
    patients_2 = np.array([one.variance for one in pair])
    seeds_2, df_2 = np.array([_with_seeds(one) for one in pair]).T
    se_2 = np.sqrt(np.maximum(patients_2, seeds_2))
    value_B2 = _resamples(pair)
    known_B2 = value_B2[np.isfinite(value_B2).all(axis=1)]
    correlation = float(np.asarray(np.corrcoef(known_B2.T))[0, 1]) if len(known_B2) > 2 else np.nan
    region = {"se": se_2, "df": df_2, "radius": np.sqrt(2 * special.fdtri(2, df_2, level))}
    return {
        **values,
        **{
            f"{axis}_{k}": float(v_2[i]) for k, v_2 in region.items() for i, axis in enumerate(axes)
        },
        "correlation": correlation * float(np.sqrt(patients_2.prod()) / se_2.prod()),
    }


def _has_region(one: Estimate) -> bool:
    inside = 0 < one.value < 1 and one.variance > NO_VARIANCE
    return inside and one.df >= 1 and not one.no_interval


def _with_seeds(estimate: Estimate) -> tuple[float, float]:
    """Variance and degrees of freedom; the seeds are in both where there are enough of them."""
    if estimate.value_S.size < MIN_SEEDS:
        return estimate.variance, estimate.df
    variance, df = orh_variance(estimate.value_S, estimate.covariance_SS)
    return variance, min(df, estimate.df)


def _resamples(pair: Pair) -> Floats:
    return np.stack([one.value_B for one in pair], axis=1)


def _share(true_xB: Mask) -> Floats:
    """Fraction of the resamples; NaN without any."""
    return np.asarray(true_xB.sum(axis=-1) / (true_xB.shape[-1] or np.nan))


def _seeds(arms: Sequence[Arm], pairs: Sequence[Pair], axes: Sequence[str]) -> pd.DataFrame:
    rows = [
        (arm.name, seed, *values)
        for arm, (auc, dice) in zip(arms, pairs, strict=True)
        for seed, *values in zip(arm.seeds, auc.value_S, dice.value_S, strict=True)
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", *axes])


def _dominance(names: Sequence[str], p_AA: Floats) -> pd.DataFrame:
    rows = [
        (one, other, p_AA[i, j])
        for i, one in enumerate(names)
        for j, other in enumerate(names)
        if i != j
    ]
    return pd.DataFrame(rows, columns=["arm", "other", "p"])
