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

    v = (MS + S·max(cov₂, 0)) / S and df = (MS + S·max(cov₂, 0))² / (MS² / (S−1)), MS the variance
    between seeds and cov₂ the mean patient-level covariance of two seeds; df is at most that of
    `clustered_t`. v holds where the metric is nearly normal; where it is not, the standard error
    is stretched (`stretch`). Needs S >= 3.
    """
    variance, df = orh_variance(estimate.value_S, estimate.covariance_SS)
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


def orh_variance(value_S: Floats, covariance_SS: Floats) -> tuple[float, float]:
    """Variance of the mean over seeds and its degrees of freedom; see `seeds_by_cases`."""
    n_seeds = value_S.size
    between = float(np.var(value_S, ddof=1))
    off_diagonal = covariance_SS.sum() - np.trace(covariance_SS)
    shared = n_seeds * max(float(off_diagonal) / (n_seeds * (n_seeds - 1)), 0.0)
    df = (n_seeds - 1) * ((between + shared) / between) ** 2 if between > NO_VARIANCE else np.inf
    return (between + shared) / n_seeds, df
