"""A lesion in one view, in millimetres: what indexing and rendering share.

N = points of an outline.
"""

from dataclasses import dataclass

from mtlbench.data.phantoms.brushes import Dots, Floats
from mtlbench.data.phantoms.patient import FindingPlan


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a mass: `amplitude` · fade over `margin_mm` · (1 − `dome` · (r/edge)²)."""

    amplitude: float
    """Peak in units of the breast's SD."""
    margin_mm: float
    dome: float


@dataclass(frozen=True, slots=True)
class Shape:
    """One lesion in one view."""

    plan: FindingPlan
    x: float
    y: float
    outline_N2: Floats
    """The drawn outline, (x, y)."""
    dots: Dots | None
    """Spicules of a mass or grains of calcium; peaks in units of the breast's SD."""
    body: Body | None
    """None for calcifications."""
