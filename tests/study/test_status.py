import pytest

from mtlbench.errors import DataError, StudyError
from mtlbench.records import MODEL, run_folder, write_csv
from mtlbench.study.status import by_cell, partly_here, read_trials, status


@pytest.fixture
def folder(tmp_path, design_of):
    """A results folder in which nothing has begun: eight cells' runs, and two stages'."""
    write_csv(tmp_path / "cells.csv", *design_of().cells_table())
    return tmp_path


def test_status_counts_the_rows_of_cells(folder):
    found = status(folder)
    assert [found[key] for key in ("cells", "runs", "done")] == [4, 8, 0]


def complete(folder, name):
    """Write a run of three files that is complete; give its folder's path."""
    run = run_folder(folder, name)
    run.path.mkdir(parents=True)
    files = ("predictions.csv", MODEL, "panels.npz")
    for file in files:
        (run.path / file).write_text(file)
    run.write_record({"state": "complete", "files": run.describe(files)})
    return run.path


def test_a_run_without_its_weights_is_done_and_without_more_it_is_not(folder):
    first, second, third = (row["hash"] for row in status(folder)["rows"][:3])
    (complete(folder, first) / MODEL).unlink()
    complete(folder, second)
    path = complete(folder, third)
    for name in (MODEL, "panels.npz"):
        (path / name).unlink()
    found = status(folder)
    rows = {row["hash"]: (row["state"], row["lacking"]) for row in found["rows"]}
    assert found["done"] == 2
    assert rows[first] == ("complete", [MODEL])
    assert rows[second] == ("complete", [])
    assert rows[third] == ("pending", [MODEL, "panels.npz"])
    cells = {row["cell"]: row["state"] for row in by_cell(found)}
    assert cells["cls"] == "complete"
    assert cells["seg"] == "1 partly here, 1 pending"
    assert partly_here(found).startswith(
        "1 partly here: computed before, but without model.safetensors, panels.npz; "
    )


def test_nothing_is_partly_here_where_nothing_has_begun(folder):
    assert partly_here(status(folder)) is None


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
