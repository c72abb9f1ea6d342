"""One metric over the aligned arms, ready to be bootstrapped."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from mtlbench.analysis.frame import Floats
from mtlbench.analysis.resample import Draw, Rows


class Kernel(Protocol):
    """A metric of one arm with one seed as a function of what is drawn."""

    def __call__(self, draw: Draw) -> tuple[Floats, Floats]:
        """Value (B) and influence of each row (R × B)."""

    def value(self, draw: Draw) -> Floats:
        """The value alone (B)."""


@dataclass(frozen=True)
class Statistic:
    """A metric's rows and kernels; without rows it is undefined for every arm."""

    metric: str
    rows: Rows | None = None
    kernels: dict[str, list[Kernel]] = field(default_factory=dict)
    """Arm → a kernel per seed."""
    classes: tuple[str, ...] = ()
    """Names of the classes averaged; empty for `auc`."""
    n_patients: int = 0
    n_cases: int = 0
    n_positive: int = 0
    n_negative: int = 0
    scarce: tuple[str, int] = ("", 0)
    """The smallest group of patients that the metric needs: what they have, how many they are."""
    effective: tuple[str, float] = ("", np.inf)
    """Of pooled pixels: the class that the fewest patients carry, and `effective_patients`."""
    n_folds: int = 1
    reasons: dict[str, str] = field(default_factory=dict)
    """Arm → why it has no value."""
    notes: tuple[str, ...] = ()
    centres: dict[str, float] = field(default_factory=dict)
    """Arm → `Estimate.centre`, where the metric is corrected for bias."""
    no_interval: dict[str, str] = field(default_factory=dict)
    """Arm → `Estimate.no_interval`."""
