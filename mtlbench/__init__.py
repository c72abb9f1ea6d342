"""Benchmarking and ablation of joint classification and segmentation in mammography."""

from importlib.metadata import version

__version__ = version("mtlbench")
