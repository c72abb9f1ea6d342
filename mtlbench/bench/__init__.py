"""What the numbers in the README are measured with: name → function giving a `Result`."""

from collections.abc import Callable

from mtlbench.bench import bootstrap, coverage, loss, prepare, study, train
from mtlbench.bench.measure import Result, Row

BENCHES: dict[str, Callable[..., Result]] = {
    "bootstrap": bootstrap.run,
    "coverage": coverage.run,
    "loss": loss.run,
    "prepare": prepare.run,
    "study": study.run,
    "train": train.run,
}

__all__ = ["BENCHES", "Result", "Row"]
