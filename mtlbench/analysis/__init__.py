"""Statistics from `predictions.csv` files: one table in, one table out; see docs/statistics.md."""

from mtlbench.analysis.compare import Comparison, compare
from mtlbench.analysis.frame import load_predictions
from mtlbench.analysis.published import PublishedEntry, load_published, mismatches
from mtlbench.analysis.roc import roc_band
from mtlbench.analysis.statistic import METRICS

__all__ = [
    "METRICS",
    "Comparison",
    "PublishedEntry",
    "compare",
    "load_predictions",
    "load_published",
    "mismatches",
    "roc_band",
]
