"""A metric of one group of cases less the same of another, as a statistic of its own.

P = patients with a case in either group, B = resamples, R = rows of a metric.
"""

from dataclasses import replace

import numpy as np

from mtlbench.analysis.frame import Floats
from mtlbench.analysis.resample import Draw, Rows
from mtlbench.analysis.statistic import Kernel, Statistic


def contrast(one: Statistic, other: Statistic) -> Statistic:
    """Subtract a metric of other cases; the patients of both are the rows, in one stratum.

    It is as limited as the scarcer of the two groups.
    """
    assert one.rows is not None
    assert other.rows is not None
    rows = Rows([(np.union1d(one.rows.patient_R, other.rows.patient_R),)])
    kernels: dict[str, list[Kernel]] = {
        arm: [
            _ContrastKernel(rows, (one.rows, a), (other.rows, b))
            for a, b in zip(one.kernels[arm], other.kernels[arm], strict=True)
        ]
        for arm in one.kernels
    }
    scarcer = min(one, other, key=lambda statistic: statistic.scarce[1])
    no_interval = one.no_interval | other.no_interval
    if scarcer.scarce[1] <= scarcer.n_folds:
        no_interval = dict.fromkeys(kernels, "it needs at least two patients of each kind")
    return replace(
        scarcer,
        rows=rows,
        kernels=kernels,
        effective=min(one.effective, other.effective, key=lambda narrow: narrow[1]),
        notes=(),
        centres={arm: one.centres[arm] - other.centres[arm] for arm in one.centres},
        no_interval=no_interval,
    )


class _ContrastKernel:
    """Difference of a kernel on two sets of cases, with the influences of a patient added up."""

    def __init__(self, rows: Rows, one: tuple[Rows, Kernel], other: tuple[Rows, Kernel]) -> None:
        self._n_rows = len(rows.patient_R)
        self._sides = [
            (side, kernel, sign, np.searchsorted(rows.patient_R, side.patient_R))
            for (side, kernel), sign in ((one, 1), (other, -1))
        ]

    def __call__(self, draw: Draw) -> tuple[Floats, Floats]:
        """Value (B) and influence (P × B)."""
        n_draws = draw.counts_PB.shape[1]
        value_B, influence_PB = np.zeros(n_draws), np.zeros((self._n_rows, n_draws))
        for rows, kernel, sign, place_R in self._sides:
            side_B, side_RB = kernel(rows.draw(draw.counts_PB))
            value_B += sign * side_B
            np.add.at(influence_PB, place_R, sign * side_RB)
        return value_B, influence_PB

    def value(self, draw: Draw) -> Floats:
        """The value alone."""
        (one, first, _, _), (other, second, _, _) = self._sides
        return first.value(one.draw(draw.counts_PB)) - second.value(other.draw(draw.counts_PB))
