"""Tables, figures and one HTML page of a study, from its files alone."""

from mtlbench.report.builder import build

__all__ = ["build"]
