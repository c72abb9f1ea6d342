import pytest

from mtlbench.errors import DataError, StudyError
from mtlbench.records import write_csv
from mtlbench.study.status import read_trials, status


@pytest.fixture
def folder(tmp_path, design_of):
    """A results folder in which nothing has begun: eight cells' runs, and two stages'."""
    write_csv(tmp_path / "cells.csv", *design_of().cells_table())
    return tmp_path


def test_status_counts_the_rows_of_cells(folder):
    found = status(folder)
    assert [found[key] for key in ("cells", "runs", "done")] == [4, 8, 0]


@pytest.mark.parametrize("cut", [1, 3, 20])
def test_a_torn_table_of_cells_is_named_with_its_line(folder, cut):
    """Cut before `steps`, before the comma, and in the hash."""
    whole = (folder / "cells.csv").read_text()
    lines = whole.splitlines()
    line = lines[4][:-cut] if cut != 1 else lines[4].rpartition(",")[0] + ","
    (folder / "cells.csv").write_text("\n".join([*lines[:4], line]))
    with pytest.raises(DataError, match=r"cells\.csv: line 5.*`study run` makes it again"):
        status(folder)


def test_an_empty_table_of_cells_is_named(folder):
    (folder / "cells.csv").write_text("")
    with pytest.raises(DataError, match=r"cells\.csv: the columns cell, arm, .* must be there"):
        status(folder)


def test_a_folder_without_a_study_is_told(tmp_path):
    with pytest.raises(StudyError, match="must be the results folder of a study"):
        status(tmp_path)


def test_a_torn_table_of_trials_is_named_with_its_line(tmp_path):
    (tmp_path / "trials.csv").write_text(
        "arm,trial,state,val.auc,runs\nA,0,complete,0.5,r\nA,1,run"
    )
    with pytest.raises(DataError, match=r"trials\.csv: line 3 must have the 5 fields"):
        read_trials(tmp_path)
