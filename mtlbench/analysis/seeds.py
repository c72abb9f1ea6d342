"""Seeds as random readers: intervals that speak of trainings, not of the trained models alone.

S = seeds.
"""

import numpy as np
from scipy import special

from mtlbench.analysis.frame import Floats
from mtlbench.analysis.intervals import (
    NO_VARIANCE,
    Estimate,
    Interval,
    Scale,
    ladder,
    rung,
    t_interval,
)

MIN_SEEDS = 3
"""From here on seeds are a random sample of trainings."""


def seeds_by_cases(estimate: Estimate, scale: Scale, level: float) -> Interval | None:
    """Seeds as random readers: Obuchowski & Rockette 1995 with the df of Hillis 2007.

    v = MS/S + max(cov₂, 0) and df = v² / ((MS/S)² / (S−1)), MS the variance between seeds and cov₂
    the mean patient-level covariance of two seeds; df is at most that of `clustered_t`. v holds
    where the metric is nearly normal; where it is not, the standard error is stretched (`stretch`).
    Needs S >= 3, in both arms where their seeds do not pair.
    """
    variance, df = orh_variance(estimate.value_S, estimate.covariance_SS, estimate.n_base)
    wider = stretch(estimate, scale)
    if wider is None:
        return None
    return t_interval(estimate, scale, level, wider**2 * variance, min(df, estimate.df))


def stretch(estimate: Estimate, scale: Scale) -> float | None:
    """By how much a t interval of these patients falls short of the studentised bootstrap's; >= 1.

    The ratio of the 95 % quantiles of |t*| and of t: a factor that does not depend on the level, so
    that p inverts an interval of any level. None where most resamples are undefined.
    """
    rungs = ladder(estimate, scale)
    if rungs is None or estimate.df < 1:
        return None
    return max(rung(rungs, 0.95) / float(special.stdtrit(estimate.df, 0.975)), 1.0)


def orh_variance(value_S: Floats, covariance_SS: Floats, n_base: int = 0) -> tuple[float, float]:
    """Variance of the mean over seeds and its degrees of freedom; see `seeds_by_cases`.

    Where the last `n_base` seeds are a sample of their own, MS/S and cov₂ are summed over both
    samples, with twice the covariance of a seed of each, and df is v² / Σ (MS/S)²/(S−1) (Welch
    1947).
    """
    base_S = np.arange(value_S.size) >= value_S.size - n_base
    samples = [value_S[part_S] for part_S in (~base_S, base_S) if part_S.any()]
    between = np.array([part.var(ddof=1) / part.size for part in samples])
    same_SS = base_S[:, None] == base_S
    size_S = same_SS.sum(axis=0)
    pairs_SS = size_S[:, None] * (size_S - same_SS)
    two_SS = ~np.eye(value_S.size, dtype=bool)
    variance = between.sum() + max((covariance_SS / pairs_SS)[two_SS].sum(), 0)
    lost = (between**2 / [part.size - 1 for part in samples]).sum()
    return float(variance), float(variance**2 / lost) if between.sum() > NO_VARIANCE else np.inf
