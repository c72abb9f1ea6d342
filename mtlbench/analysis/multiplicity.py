"""p-values of a family of tests, adjusted together, and as they are printed."""

from collections.abc import Sequence

import numpy as np


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the false discovery rate (1995); NaN stays NaN."""
    adjusted, running = list(p_values), 1.0
    ranked = sorted((p, i) for i, p in enumerate(p_values) if not np.isnan(p))
    for rank, (p, i) in reversed(list(enumerate(ranked, start=1))):
        running = min(running, len(ranked) / rank * p)
        adjusted[i] = running
    return adjusted


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (1979); NaN stays NaN and is no test of the family."""
    adjusted, running = list(p_values), 0.0
    ranked = sorted((p, i) for i, p in enumerate(p_values) if not np.isnan(p))
    for rank, (p, i) in enumerate(ranked):
        running = max(running, min(1.0, (len(ranked) - rank) * p))
        adjusted[i] = running
    return adjusted


def p_text(p: float) -> str:
    """`0.012`, or `<0.001`: never 0."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


ADJUSTMENTS = {"holm": holm, "bh": benjamini_hochberg}
