"""The one loop over resamples: every arm, seed and metric sees the same draws of patients.

B = resamples, R = rows of a metric, S = seeds.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import numpy as np

from mtlbench.analysis.align import Arm
from mtlbench.analysis.frame import Floats
from mtlbench.analysis.intervals import Estimate
from mtlbench.analysis.resample import Counts, Draw, patient_counts
from mtlbench.analysis.statistic import Kernel, Statistic

Key = tuple[str, str, str | None]
"""Metric, arm, and the baseline of a difference."""

KEPT_BYTES = 8 << 20
"""Size of a block that is allocated, never touched and freed before the loop.

glibc returns freed memory to the system above twice the largest block freed so far, and every
chunk would fault its arrays in again: three times the cost of the arithmetic at 10,000 patients.
"""


def bootstrap(
    statistics: Sequence[Statistic],
    baselines: Mapping[str, str],
    arms: Sequence[Arm],
    n_patients: int,
    resamples: int,
    seed: int,
) -> dict[Key, Estimate]:
    """Every arm's estimate and its difference from the metric's baseline.

    The first "resample" draws each patient once: the test set itself, by the same arithmetic.
    """
    np.empty(KEPT_BYTES, np.uint8)
    chunks: dict[Key, list[tuple[Floats, Floats]]] = {}
    itself_P1: Counts = np.ones((n_patients, 1), np.int64)
    for counts_PB in chain([itself_P1], patient_counts(n_patients, resamples, seed)):
        for statistic in statistics:
            if statistic.rows is None:
                continue
            draw = statistic.rows.draw(counts_PB)
            base = baselines.get(statistic.metric)
            for key, value_B, influence_RB in _samples(statistic, base, draw):
                variance_B = draw.covariance(influence_RB, influence_RB)
                chunks.setdefault(key, []).append((value_B, variance_B))
    by_metric = {statistic.metric: statistic for statistic in statistics}
    seeds = {arm.name: arm.seeds for arm in arms}
    return {key: _estimate(key, by_metric[key[0]], seeds, parts) for key, parts in chunks.items()}


def _samples(
    statistic: Statistic, base: str | None, draw: Draw
) -> Iterator[tuple[Key, Floats, Floats]]:
    """Value and influence of each arm, the baseline first, and of each difference from it."""
    base_value_B, base_influence_RB = None, None
    for arm in sorted(statistic.kernels, key=lambda name: name != base):
        value_B, influence_RB = _mean_over_seeds(statistic.kernels[arm], draw)
        yield (statistic.metric, arm, None), value_B, influence_RB
        if arm == base:
            base_value_B, base_influence_RB = value_B, influence_RB
        elif base_value_B is not None and base_influence_RB is not None:
            difference_RB = influence_RB - base_influence_RB
            yield (statistic.metric, arm, base), value_B - base_value_B, difference_RB


def _mean_over_seeds(kernels: Sequence[Kernel], draw: Draw) -> tuple[Floats, Floats]:
    value_B, influence_RB = kernels[0](draw)
    for kernel in kernels[1:]:
        more_B, more_RB = kernel(draw)
        value_B += more_B
        influence_RB += more_RB
    value_B /= len(kernels)
    influence_RB /= len(kernels)
    return value_B, influence_RB


def _estimate(
    key: Key,
    statistic: Statistic,
    seeds: Mapping[str, tuple[object, ...]],
    parts: Sequence[tuple[Floats, Floats]],
) -> Estimate:
    _, arm, base = key
    value_B, variance_B = (np.concatenate(column) for column in zip(*parts, strict=True))
    value_S, covariance_SS = _by_seed(statistic, arm, base, seeds)
    return Estimate(
        value=float(value_B[0]),
        variance=float(variance_B[0]),
        value_S=value_S,
        covariance_SS=covariance_SS,
        value_B=value_B[1:],
        variance_B=variance_B[1:],
        df=statistic.scarce[1] - statistic.n_folds,
    )


def _by_seed(
    statistic: Statistic, arm: str, base: str | None, seeds: Mapping[str, tuple[object, ...]]
) -> tuple[Floats, Floats]:
    """Evaluate each seed on the test set: values and their patient-level covariances.

    The difference of two arms with other seeds has no value by seed: NaN.
    """
    assert statistic.rows is not None
    if base is not None and seeds[arm] != seeds[base]:
        return np.full(1, np.nan), np.full((1, 1), np.nan)
    draw = statistic.rows.draw(np.ones((statistic.rows.n_patients, 1), np.int64))
    samples = [kernel(draw) for kernel in statistic.kernels[arm]]
    if base is not None:
        bases = [kernel(draw) for kernel in statistic.kernels[base]]
        samples = [
            (value - other, influence - others)
            for (value, influence), (other, others) in zip(samples, bases, strict=True)
        ]
    covariance_SS = [[float(draw.covariance(a, b)[0]) for _, b in samples] for _, a in samples]
    return np.concatenate([value for value, _ in samples]), np.array(covariance_SS)
