"""Notes below the tables, where numbers are set by hand."""

from dataclasses import replace

import pytest

from mtlbench.report.collect import read_study
from mtlbench.report.notes import tasks_notes
from mtlbench.report.numbers import measure

PATIENTS_ALONE = "an interval covers the sampling of patients, not the variation between trainings"


@pytest.fixture(scope="module")
def measured(written):
    study = read_study(written / "arms")
    return study, measure(study)


def with_seeds(numbers, *values):
    """With these Dice values of the two seeds of `sequential`, whose interval is 22 to 26."""
    row = numbers.estimate["sequential", "dice"] | {"low": 0.22, "high": 0.26}
    return replace(
        numbers,
        estimate={**numbers.estimate, ("sequential", "dice"): row},
        seeds={**numbers.seeds, ("sequential", "dice"): values},
    )


def test_seeds_that_differ_by_more_than_the_interval_are_told(measured):
    study, numbers = measured
    said = " ".join(tasks_notes(study, with_seeds(numbers, 0.279, 0.2)))
    assert PATIENTS_ALONE in said
    assert "sequential, Mean Dice 20.0 to 27.9" in said
    near = " ".join(tasks_notes(study, with_seeds(numbers, 0.25, 0.23)))
    assert PATIENTS_ALONE in near
    assert "sequential, Mean Dice" not in near


def test_three_seeds_are_in_the_interval(measured):
    study, numbers = measured
    cells = tuple(
        replace(cell, runs=(*cell.runs, replace(cell.runs[0], seed=2))) for cell in study.cells
    )
    said = " ".join(tasks_notes(replace(study, cells=cells), with_seeds(numbers, 0.3, 0.2, 0.1)))
    assert "taken as random" in said
    assert PATIENTS_ALONE not in said
    assert "wider than the interval" not in said
