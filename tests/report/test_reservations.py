from dataclasses import replace

import numpy as np
import pytest

from mtlbench.report.collect import read_study
from mtlbench.report.numbers import measure
from mtlbench.report.reservations import unreliable


@pytest.fixture(scope="module")
def numbers(written):
    return measure(read_study(written / "arms"))


def marked(numbers, *cells):
    """With the AUC of these cells alone unreliable."""
    rows = numbers.estimates
    doubted = (rows["metric"] == "auc") & rows["cell"].isin(cells)
    doubts = np.where(doubted, "undefined resamples", "")
    return replace(numbers, estimates=rows.assign(reliable=~doubted, doubts=doubts))


def valued(numbers, metric):
    rows = numbers.estimates
    return rows[(rows["metric"] == metric) & rows["value"].notna()]["cell"].tolist()


def test_where_nothing_is_compared_values_are_named_alone(numbers):
    """An arm alone has no comparisons: an empty table, whose columns are of no kind."""
    one = replace(marked(numbers, valued(numbers, "auc")[0]), comparisons=numbers.comparisons[:0])
    alone = replace(one, comparisons=one.comparisons.astype(object))
    assert f"AUC of {valued(numbers, 'auc')[0]}." in unreliable(alone, ["auc"])


def test_a_metric_that_is_unreliable_throughout_is_named_once(numbers):
    cells = valued(numbers, "auc")
    said = unreliable(marked(numbers, *cells), ["auc"])
    assert said.endswith(": all AUC.")
    some = unreliable(marked(numbers, *cells[1:]), ["auc"])
    assert f"AUC of {', '.join(cells[1:])}" in some
    assert "all AUC" not in some


def test_the_reasons_are_those_of_the_metrics_named(numbers):
    sure = replace(marked(numbers, "cls"), comparisons=numbers.comparisons.assign(doubts=""))
    said = unreliable(sure, ["auc"])
    assert said.startswith("Unreliable intervals and p (more than 1 % of the resamples undefined):")


def test_where_all_is_reliable_nothing_is_said(numbers):
    sure = numbers.comparisons.assign(reliable=True, doubts="")
    assert unreliable(replace(marked(numbers), comparisons=sure), ["auc"]) == ""
