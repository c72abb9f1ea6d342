"""Statistics from `predictions.csv` files: one table in, one table out; see docs/statistics.md."""

from mtlbench.analysis.compare import Comparison, compare
from mtlbench.analysis.frame import load_predictions
from mtlbench.analysis.statistic import METRICS

__all__ = ["METRICS", "Comparison", "compare", "load_predictions"]
