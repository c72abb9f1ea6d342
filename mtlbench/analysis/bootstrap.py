"""The one loop over resamples: every arm, seed and metric sees the same draws of patients.

B = resamples, R = rows of a metric, S = seeds.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

from mtlbench.analysis.align import Arm
from mtlbench.analysis.frame import Floats
from mtlbench.analysis.intervals import BCA, STUDENTISED, Estimate
from mtlbench.analysis.resample import Counts, Draw, leave_one_out, patient_counts
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
    methods: Mapping[str, str] | None = None,
) -> dict[Key, Estimate]:
    """Every arm's estimate and its difference from the metric's baseline.

    `methods`, by metric, says which intervals are wanted: only a studentised one needs each
    resample's variance, only BCa the values with each patient left out. The test set itself is the
    "resample" that draws each patient once.
    """
    np.empty(KEPT_BYTES, np.uint8)
    methods = dict.fromkeys((s.metric for s in statistics), STUDENTISED) | dict(methods or {})
    usable = [statistic for statistic in statistics if statistic.rows is not None]
    with_variance = {s.metric for s in usable if methods[s.metric] == STUDENTISED}
    itself = _replicates(usable, baselines, [np.ones((n_patients, 1), np.int64)], methods)
    resampled = _replicates(
        usable, baselines, patient_counts(n_patients, resamples, seed), with_variance
    )
    accelerated = [statistic for statistic in usable if methods[statistic.metric] == BCA]
    left_out = _replicates(accelerated, baselines, leave_one_out(n_patients), ())
    by_metric = {statistic.metric: statistic for statistic in usable}
    seeds = {arm.name: arm.seeds for arm in arms}
    estimates = {}
    for key, (value_1, variance_1) in itself.items():
        assert variance_1 is not None
        value_B, variance_B = resampled[key]
        n_base = _unpaired(key, seeds)
        value_S, covariance_SS = _by_seed(by_metric[key[0]], key[1], key[2], n_base)
        estimates[key] = Estimate(
            value=float(value_1[0]),
            variance=float(variance_1[0]),
            value_S=value_S,
            covariance_SS=covariance_SS,
            value_B=value_B,
            variance_B=variance_B,
            df=by_metric[key[0]].scarce[1] - by_metric[key[0]].n_folds,
            centre=_centre(by_metric[key[0]], key[1], key[2]),
            left_out_P=left_out[key][0] if key in left_out else None,
            no_interval=_no_interval(by_metric[key[0]], key[1], key[2]),
            n_base=n_base,
        )
    return estimates


def _no_interval(statistic: Statistic, arm: str, base: str | None) -> str:
    """A difference is estimable where one of its two arms is."""
    why = statistic.no_interval.get(arm, "")
    return why if base is None or base in statistic.no_interval else ""


def _centre(statistic: Statistic, arm: str, base: str | None) -> float | None:
    if not statistic.centres:
        return None
    return statistic.centres[arm] - (0.0 if base is None else statistic.centres[base])


def _replicates(
    statistics: Sequence[Statistic],
    baselines: Mapping[str, str],
    counts: Iterable[Counts],
    with_variance: Collection[str],
) -> dict[Key, tuple[Floats, Floats | None]]:
    """Values on each draw of `counts`, and their variances for the metrics `with_variance`."""
    chunks: dict[Key, list[tuple[Floats, Floats | None]]] = {}
    for counts_PB in counts if statistics else ():
        for statistic in statistics:
            assert statistic.rows is not None
            draw = statistic.rows.draw(counts_PB)
            base = baselines.get(statistic.metric)
            samples = _samples if statistic.metric in with_variance else _values
            for key, value_B, variance_B in samples(statistic, base, draw):
                chunks.setdefault(key, []).append((value_B, variance_B))
    return {key: _joined(parts) for key, parts in chunks.items()}


def _joined(parts: Sequence[tuple[Floats, Floats | None]]) -> tuple[Floats, Floats | None]:
    variances = [variance_B for _, variance_B in parts if variance_B is not None]
    return (
        np.concatenate([value_B for value_B, _ in parts]),
        np.concatenate(variances) if variances else None,
    )


def _samples(
    statistic: Statistic, base: str | None, draw: Draw
) -> Iterator[tuple[Key, Floats, Floats]]:
    """Value and variance of each arm, the baseline first, and of each difference from it."""
    base_value_B, base_influence_RB = None, None
    for arm in sorted(statistic.kernels, key=lambda name: name != base):
        value_B, influence_RB = _mean_over_seeds(statistic.kernels[arm], draw)
        variance_B = draw.covariance(influence_RB, influence_RB)
        yield (statistic.metric, arm, None), value_B, variance_B
        if arm == base:
            base_value_B, base_influence_RB = value_B, influence_RB
        elif base_value_B is not None and base_influence_RB is not None:
            influence_RB = influence_RB - base_influence_RB
            variance_B = draw.covariance(influence_RB, influence_RB)
            yield (statistic.metric, arm, base), value_B - base_value_B, variance_B


def _values(
    statistic: Statistic, base: str | None, draw: Draw
) -> Iterator[tuple[Key, Floats, None]]:
    """The same without variances, which cost most of the time."""
    value_AB = {
        arm: np.asarray(sum(kernel.value(draw) for kernel in kernels) / len(kernels))
        for arm, kernels in statistic.kernels.items()
    }
    for arm, value_B in value_AB.items():
        yield (statistic.metric, arm, None), value_B, None
        if base in value_AB and arm != base:
            yield (statistic.metric, arm, base), value_B - value_AB[base], None


def _mean_over_seeds(kernels: Sequence[Kernel], draw: Draw) -> tuple[Floats, Floats]:
    value_B, influence_RB = kernels[0](draw)
    for kernel in kernels[1:]:
        more_B, more_RB = kernel(draw)
        value_B += more_B
        influence_RB += more_RB
    value_B /= len(kernels)
    influence_RB /= len(kernels)
    return value_B, influence_RB


def _by_seed(
    statistic: Statistic, arm: str, base: str | None, n_base: int
) -> tuple[Floats, Floats]:
    """Evaluate each seed on the test set: values and their patient-level covariances.

    A difference has a value for each seed of both arms; where seeds do not pair (`n_base`), those
    of the arm and then the baseline's with changed signs.
    """
    assert statistic.rows is not None
    draw = statistic.rows.draw(np.ones((statistic.rows.n_patients, 1), np.int64))
    samples = [kernel(draw) for kernel in statistic.kernels[arm]]
    if base is not None:
        bases = [kernel(draw) for kernel in statistic.kernels[base]]
        less = [(-value, -influence) for value, influence in bases]
        samples = [*samples, *less] if n_base else [*map(_sum, samples, less)]
    covariance_SS = [[float(draw.covariance(a, b)[0]) for _, b in samples] for _, a in samples]
    return np.concatenate([value for value, _ in samples]), np.array(covariance_SS)


def _sum(one: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    return one[0] + other[0], one[1] + other[1]


def _unpaired(key: Key, seeds: Mapping[str, tuple[object, ...]]) -> int:
    """How many seeds the baseline has, if they are others than the arm's."""
    _, arm, base = key
    return 0 if base is None or seeds[arm] == seeds[base] else len(seeds[base])
