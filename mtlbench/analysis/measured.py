"""What an outlook assumes, measured on validation predictions: see docs/statistics.md.

S = seeds of an arm, R = rows of a metric: its patients, by stratum.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from mtlbench.analysis.align import Cases, align
from mtlbench.analysis.auc import split_classes
from mtlbench.analysis.frame import Floats
from mtlbench.analysis.intervals import NO_VARIANCE
from mtlbench.analysis.metric import find_metric
from mtlbench.analysis.power import auc_variance, dice_weight
from mtlbench.analysis.resample import Draw
from mtlbench.analysis.statistic import Kernel, Statistic

FEW = 10
"""Patients of the scarcest kind below which no value or spread is measured.

Pooled Dice follows its few patients, so that their spread is too small; a correlation needs fewer.
"""


def measure(frames: Mapping[str, pd.DataFrame], baselines: Mapping[str, str]) -> dict[str, float]:
    """Values of `[compare.assume]` from the rows with `split` = val; test rows are not looked at.

    Args:
        frames: predictions of each cell's runs of one fold, with `seed`.
        baselines: metric (`auc`, `dice`) → the cell that others are compared with.

    Raises:
        DataError: cells disagree in their cases or truth.
    """
    validation = {
        name: frame[frame["split"] == "val"].assign(split="test") for name, frame in frames.items()
    }
    cases, arms = align(validation)
    found: dict[str, float] = {}
    for metric in ("auc", "dice"):
        statistic = find_metric(metric).build(cases, arms)
        runs = _runs(statistic)
        seeds = [one.extra for one in runs.values() if one.extra is not None]
        if seeds:
            found[f"{metric}_seed_sd"] = math.sqrt(max(_mean(seeds), 0.0))
        base = baselines.get(metric)
        others = [one for name, one in runs.items() if name != base]
        if base in runs and others:
            found[f"{metric}_correlation"] = _inside(_correlation(runs[base], others))
        if runs and statistic.scarce[1] >= FEW:
            found |= _values(metric, cases, runs.values())
    return found


class _Runs:
    """One arm: its seeds' values, and their covariances from the influences of the patients."""

    def __init__(self, kernels: Sequence[Kernel], draw: Draw) -> None:
        values, influences = zip(*(kernel(draw) for kernel in kernels), strict=True)
        self._draw, self._mean_R1 = draw, np.mean(influences, axis=0)
        self.value = float(np.mean(values))
        self.variance = _mean(draw.covariance(one, one) for one in influences)
        self.extra: float | None = None
        """Variance over seeds, less what the patients account for; None: there is one seed."""
        if len(influences) > 1:
            shared = _mean(draw.covariance(one, two) for one, two in combinations(influences, 2))
            self.extra = float(np.var(values, ddof=1)) - (self.variance - shared)

    def covariance(self, other: "_Runs") -> float:
        """Of one run of either arm."""
        return float(self._draw.covariance(self._mean_R1, other._mean_R1)[0])


def _runs(statistic: Statistic) -> dict[str, _Runs]:
    """The arms whose value varies with the patients."""
    if statistic.rows is None or statistic.scarce[1] < 2:
        return {}
    draw = statistic.rows.draw(np.ones((statistic.rows.n_patients, 1), np.int64))
    runs = {
        arm: _Runs(kernels, draw)
        for arm, kernels in statistic.kernels.items()
        if arm not in statistic.no_interval
    }
    return {arm: one for arm, one in runs.items() if one.variance > NO_VARIANCE}


def _correlation(base: _Runs, others: Sequence[_Runs]) -> float:
    """The one that gives the mean variance of the differences from the baseline."""
    both = (base.variance + _mean(one.variance for one in others)) / 2
    return _mean(base.covariance(one) for one in others) / both


def _values(metric: str, cases: Cases, runs: Collection[_Runs]) -> dict[str, float]:
    value, variance = _mean(one.value for one in runs), _mean(one.variance for one in runs)
    if metric == "auc":
        value = max(_inside(value), 0.51)
        return {"auc": value} | _patient_correlation(cases, value, variance)
    assert cases.true_NK is not None
    lesion_NK = np.nan_to_num(cases.true_NK[:, 1:]) > 0
    patients_K = [len(np.unique(cases.patient_N[lesion_N])) for lesion_N in lesion_NK.T]
    weight = dice_weight([n for n in patients_K if n])
    return {"dice": _inside(value), "dice_sd": math.sqrt(variance / weight)}


def _patient_correlation(cases: Cases, auc: float, variance: float) -> dict[str, float]:
    """The one that gives the variance; nothing where no patient has two images of a class."""
    assert cases.label_N is not None
    positive, negative = (part.size.tolist() for part in split_classes(cases, cases.label_N)[0])
    if max(*positive, *negative) == 1:
        return {}

    def miss(patient: float) -> float:
        return abs(auc_variance(positive, negative, auc, patient) - variance)

    return {"patient_correlation": min(np.arange(0, 1, 0.01).tolist(), key=miss)}


def _mean(values: Iterable[Floats | float]) -> float:
    return float(np.mean([*values]))


def _inside(value: float) -> float:
    return min(max(value, 0.001), 0.999)
