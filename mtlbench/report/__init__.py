"""Tables, figures and one HTML page of a study, from its files alone."""

from mtlbench.report.builder import build, images_warning

__all__ = ["build", "images_warning"]
