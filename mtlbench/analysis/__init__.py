"""Statistics from `predictions.csv` files: one table in, one table out; see docs/statistics.md."""

from mtlbench.analysis.calibration_curve import calibration_curve
from mtlbench.analysis.compare import Comparison, compare
from mtlbench.analysis.curves import froc_band, pr_band, roc_band
from mtlbench.analysis.findings import Findings, load_findings
from mtlbench.analysis.frame import load_predictions
from mtlbench.analysis.metric import METRICS, find_metric
from mtlbench.analysis.profile import dice_profile
from mtlbench.analysis.protocol import mismatches, own_protocol, verdict
from mtlbench.analysis.published import PublishedEntry, load_published, why_disabled

__all__ = [
    "METRICS",
    "Comparison",
    "Findings",
    "PublishedEntry",
    "calibration_curve",
    "compare",
    "dice_profile",
    "find_metric",
    "froc_band",
    "load_findings",
    "load_predictions",
    "load_published",
    "mismatches",
    "own_protocol",
    "pr_band",
    "roc_band",
    "verdict",
    "why_disabled",
]
