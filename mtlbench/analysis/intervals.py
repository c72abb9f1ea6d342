"""Intervals and p-values from an estimate, its patient-level variance and its resamples.

B = resamples, S = seeds. Undefined: an estimate without variance, at 0 or 1 on the logit scale,
with most resamples undefined, or for which its metric gives a reason, has no interval (`None`); a
resample without value or standard error is dropped and counted.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from mtlbench.analysis.frame import Floats, Mask

STUDENTISED, BCA, PERCENTILE = METHODS = ("studentised", "bca", "percentile")
NO_VARIANCE = 1e-24
"""A variance below this is rounding: the standard error of a metric in [0, 1] is below 1e-12."""


@dataclass(frozen=True)
class Estimate:
    """A metric, or a difference of two, on the test set itself and on its resamples."""

    value: float
    variance: float
    """Patient-level, these trained models fixed."""
    value_S: Floats
    """Their mean is `value`; where seeds do not pair, see `n_base`."""
    covariance_SS: Floats
    """Patient-level covariance of the seeds' values."""
    value_B: Floats
    variance_B: Floats | None
    """None where no interval is studentised: a value alone defines a resample then."""
    df: int
    """Degrees of freedom of `variance`: patients of the smallest stratum − 1."""
    centre: float | None = None
    """What the resamples estimate, if that is not `value`: a value that is corrected for bias
    estimates what the test set has without the correction."""
    left_out_P: Floats | None = None
    """Values with each patient left out, for BCa."""
    no_interval: str = ""
    """The metric's own reason why there is none, though the patients differ."""
    n_base: int = 0
    """How many of S, the last, are the baseline's own seeds, with their signs changed: a difference
    of two arms with other seeds is the sum of both parts' means. 0: seeds pair, or one arm."""

    @property
    def n_seeds(self) -> int:
        """Trainings; where there are two samples, those of the smaller."""
        n = self.value_S.size
        return min(n - self.n_base, self.n_base or n)

    @property
    def n_undefined(self) -> int:
        """Resamples without a value or without a standard error."""
        return int((~_defined(self)).sum())


@dataclass(frozen=True)
class Interval:
    """Limits on the metric's own scale; `p` tests the value 0 and inverts them."""

    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Scale:
    """Where an interval is symmetric."""

    logit: bool
    suffix: str
    """Of a method's name."""
    least: float = -1.0
    """The smallest value that there is."""

    def forward(self, value: Floats) -> Floats:
        """To the scale."""
        return np.asarray(special.logit(value)) if self.logit else value

    def error(self, value: Floats, variance: Floats) -> Floats:
        """Give the standard error on the scale, by the delta method."""
        slope = 1 / (value * (1 - value)) if self.logit else 1.0
        return np.asarray(np.sqrt(variance) * slope)

    def limits(self, value: float, half_width: float) -> tuple[float, float]:
        """Back to the metric's own scale, from value ± half_width on this one."""
        if self.logit:
            centre = special.logit(value)
            return float(special.expit(centre - half_width)), float(
                special.expit(centre + half_width)
            )
        return self.clipped(value - half_width), min(value + half_width, 1.0)

    def clipped(self, value: float) -> float:
        """Not below the smallest value that there is."""
        return max(value, self.least)


LOGIT = Scale(logit=True, suffix=", logit scale")
"""Metrics: they live in [0, 1]."""
NOT_NEGATIVE = Scale(logit=False, suffix="", least=0.0)
"""A metric that is close to 0 where all is well."""
IDENTITY = Scale(logit=False, suffix="")
"""Differences: they live in [−1, 1]."""


def studentised(estimate: Estimate, scale: Scale, level: float) -> Interval | None:
    """Symmetric studentised bootstrap (Hall 1988, J. R. Stat. Soc. B 50:35).

    |t*| = |g(θ*) − g(θ)| / se*, each resample with its own standard error; the interval is
    g(θ) ± its `level` quantile × se. Quantile at position p·(B+1) of the ordered |t*|, linear in
    between, and `p` by the inverse of the same line: p < 1 − level exactly where the interval
    excludes 0, p = 1/(B+1) where |t| exceeds all |t*|.
    """
    rungs = ladder(estimate, scale)
    if rungs is None:
        return None
    error = float(scale.error(np.asarray(estimate.value), np.asarray(estimate.variance)))
    quantile = rung(rungs, level)
    if quantile == 0:
        return None
    low, high = scale.limits(estimate.value, quantile * error)
    t = abs(estimate.value) / np.sqrt(estimate.variance)
    p = 1 - _position(rungs, float(t)) / rungs.size
    return Interval(low, high, p)


def ladder(estimate: Estimate, scale: Scale) -> Floats | None:
    """0 and the resamples' ordered |t*|; None where there is no interval or most are undefined."""
    if not _has_interval(estimate, scale):
        return None
    value_B, variance_B = estimate.value_B, estimate.variance_B
    assert variance_B is not None
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = estimate.value if estimate.centre is None else estimate.centre
        distance_B = scale.forward(value_B) - scale.forward(np.asarray(centre))
        t_B = np.abs(distance_B / scale.error(value_B, variance_B))
    t_B = np.sort(t_B[_defined(estimate) & np.isfinite(t_B)])
    return None if 2 * t_B.size < value_B.size else np.concatenate([[0.0], t_B])


def rung(rungs: Floats, level: float) -> float:
    """The `level` quantile of a `ladder`."""
    return float(np.interp(level * rungs.size, np.arange(rungs.size), rungs))


def _position(rungs: Floats, t: float) -> float:
    """Where t stands between the rungs 0, 1, .. of a rising ladder that begins with 0."""
    above = int(np.searchsorted(rungs, t, side="left"))
    if above == 0:
        return 0.0
    if above == rungs.size:
        return rungs.size - 1.0
    below, step = rungs[above - 1], rungs[above] - rungs[above - 1]
    return float(above - 1 + (t - below) / step)


def percentile(estimate: Estimate, scale: Scale, level: float) -> Interval | None:
    """Quantiles of the resamples (Efron 1979), as `scipy.stats.bootstrap` takes them."""
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    return _by_quantiles(estimate, scale, tails, lambda at_zero: at_zero)


def bca(estimate: Estimate, scale: Scale, level: float) -> Interval | None:
    """Bias-corrected and accelerated (Efron 1987), as `scipy.stats.bootstrap` computes it.

    z₀ from the resamples below the value (ties half), a from the values with each patient left
    out; None where one of these is undefined.
    """
    assert estimate.left_out_P is not None
    n = estimate.left_out_P.size
    pull_P = (n - 1) * (estimate.left_out_P.mean() - estimate.left_out_P)
    spread = (pull_P**2).sum() ** 1.5
    a = (pull_P**3).sum() / (6 * spread) if spread > 0 else np.nan
    value_B = estimate.value_B[_defined(estimate)]
    below = [np.mean(value_B < estimate.value), np.mean(value_B <= estimate.value)]
    z0 = special.ndtri(np.mean(below)) if value_B.size else np.nan
    if not np.isfinite([a, z0]).all():
        return None

    shifted = z0 + special.ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    tails = special.ndtr(z0 + shifted / (1 - a * shifted))

    def uncorrected(at_zero: float) -> float:
        distance = special.ndtri(at_zero) - z0
        return float(special.ndtr(distance / (1 + a * distance) - z0))

    return _by_quantiles(estimate, scale, tails, uncorrected)


def _by_quantiles(
    estimate: Estimate, scale: Scale, tails: Floats, tail_of: Callable[[float], float]
) -> Interval | None:
    """Limits at the quantiles `tails`; `tail_of` a position is the tail that would end there."""
    value_B = np.sort(estimate.value_B[_defined(estimate)])
    if 2 * value_B.size < estimate.value_B.size or value_B[0] == value_B[-1]:
        return None
    low, high = np.quantile(value_B, tails)
    # Where 0 stands by the line that `np.quantile` draws through them; resamples of 0 are a step.
    places = np.linspace(0, 1, value_B.size)
    ends = np.interp(0, value_B, places), 1 - np.interp(0, -value_B[::-1], places)
    upper, lower = (tail_of(at) if 0 < at < 1 else at for at in map(float, ends))
    p = min(max(2 * min(upper, 1 - lower), 1 / (estimate.value_B.size + 1)), 1.0)
    return Interval(scale.clipped(float(low)), scale.clipped(float(high)), p)


def by_method(estimate: Estimate, scale: Scale, level: float, method: str) -> Interval | None:
    """Give the interval of one of `METHODS`."""
    make = {STUDENTISED: studentised, BCA: bca, PERCENTILE: percentile}[method]
    return None if estimate.no_interval else make(estimate, scale, level)


def clustered_t(estimate: Estimate, scale: Scale, level: float) -> Interval | None:
    """Give the closed form g(θ) ± t × se, t with df = patients of the smallest stratum − 1.

    For AUC on the logit scale Obuchowski's clustered variance (1997), for Dice the delta method.
    """
    return t_interval(estimate, scale, level, estimate.variance, estimate.df)


def t_interval(
    estimate: Estimate, scale: Scale, level: float, variance: float, df: float
) -> Interval | None:
    """Give g(θ) ± t × se, se² = `variance`; its p is that of θ / se on the metric's own scale."""
    if not _has_interval(estimate, scale) or df < 1 or variance <= NO_VARIANCE:
        return None
    error = float(scale.error(np.asarray(estimate.value), np.asarray(variance)))
    quantile = float(special.stdtrit(df, (1 + level) / 2))
    low, high = scale.limits(estimate.value, quantile * error)
    p = 2 * float(special.stdtr(df, -abs(estimate.value) / np.sqrt(variance)))
    return Interval(low, high, max(p, 1 / (estimate.value_B.size + 1)))


def _defined(estimate: Estimate) -> Mask:
    """Resamples with a value and, where one is needed, a standard error: one at 0 or 1 has none."""
    finite_B = np.isfinite(estimate.value_B)
    if estimate.variance_B is None:
        return finite_B
    with np.errstate(invalid="ignore"):
        return np.asarray(finite_B & (estimate.variance_B > NO_VARIANCE))


def _has_interval(estimate: Estimate, scale: Scale) -> bool:
    inside = 0 < estimate.value < 1 if scale.logit else np.isfinite(estimate.value)
    return bool(inside and estimate.variance > NO_VARIANCE and not estimate.no_interval)
