"""Statistics from `predictions.csv` files: one table in, one table out; see docs/statistics.md."""

from mtlbench.analysis.compare import Comparison, compare
from mtlbench.analysis.findings import Findings, load_findings
from mtlbench.analysis.frame import load_predictions
from mtlbench.analysis.metric import METRICS, find_metric
from mtlbench.analysis.published import PublishedEntry, load_published, mismatches
from mtlbench.analysis.roc import roc_band

__all__ = [
    "METRICS",
    "Comparison",
    "Findings",
    "PublishedEntry",
    "compare",
    "find_metric",
    "load_findings",
    "load_predictions",
    "load_published",
    "mismatches",
    "roc_band",
]
