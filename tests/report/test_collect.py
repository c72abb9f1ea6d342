import json
import shutil

import pandas as pd
import pytest

from mtlbench.errors import DataError, StudyError
from mtlbench.report.collect import read_study, short_key


def spoil(study, cell, seed):
    """Undo one run of a cell; returns its folder."""
    cells = pd.read_csv(study / "cells.csv")
    name = cells[(cells["cell"] == cell) & (cells["seed"] == seed)]["hash"].item()
    path = study / "runs" / name / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"state": "failed"}))
    return path.parent


def test_frame_of_a_cell_is_its_runs_test_rows_with_their_seed(arms_study):
    joint = read_study(arms_study).of_arm("joint")[0]
    assert joint.seeds == (0, 1)
    assert set(joint.frame["split"]) == {"test"}
    parts = [
        pd.read_csv(run.folder.path / "predictions.csv").query("split == 'test'")
        for run in joint.runs
    ]
    expected = pd.concat(parts)["score"].to_list()
    assert joint.frame["score"].to_list() == expected
    assert joint.frame["seed"].to_list() == [0] * len(parts[0]) + [1] * len(parts[1])


def test_sequential_knows_the_run_it_starts_from(arms_study):
    study = read_study(arms_study)
    sequential, seg = study.of_arm("sequential")[0], study.of_arm("seg")[0]
    pd.testing.assert_frame_equal(sequential.before, seg.frame)
    assert seg.before is None
    assert sequential.runs[0].history()["step"].to_list() == [70, 80, 90, 100, 110, 120]


def test_a_missing_run_drops_its_seed_and_is_listed(arms_study):
    spoil(arms_study, "joint", 1)
    study = read_study(arms_study)
    assert study.of_arm("joint")[0].seeds == (0,)
    assert study.missing == ("joint (seed 1)",)


@pytest.mark.parametrize("name", ["predictions.csv", "history.csv"])
def test_a_damaged_file_is_named_and_its_run_left_out(arms_study, name):
    run = read_study(arms_study).of_arm("joint")[0].runs[1].folder
    path, content = run.path / name, (run.path / name).read_bytes()
    for changed in (content[:-3] + b"9" + content[-2:], content[:-9]):
        path.write_bytes(changed)
        study = read_study(arms_study)
        assert study.damaged == (
            f"runs/{run.name}/{name} is not what the run wrote (its size or SHA-256 in "
            "record.json): the run is left out",
        )
        assert study.missing == ("joint (seed 1)",)
    path.unlink()
    assert read_study(arms_study).damaged == (
        f"runs/{run.name}/{name} is missing: the run is left out",
    )


def test_a_folder_of_ones_own_is_called_by_its_study(arms_study):
    path = arms_study / "study.toml"
    assert read_study(arms_study).data_name == "simulated mammograms (phantoms)"
    path.write_text(path.read_text().replace('dataset = "phantom"', 'dataset = "folder"'))
    assert read_study(arms_study).data_name == "the data set of arms"
    path.write_text(path.read_text().replace("[compare]", '[compare]\ndataset = "Our clinic"'))
    assert read_study(arms_study).data_name == "Our clinic"


def test_a_seed_counts_only_with_all_its_folds(arms_study):
    path = arms_study / "cells.csv"
    cells = pd.read_csv(path)
    cells["fold"] = cells["seed"]
    cells["seed"] = 0
    cells.to_csv(path, index=False)
    joint = read_study(arms_study).of_arm("joint")[0]
    assert joint.seeds == (0,)
    assert sorted(joint.frame["fold"].unique()) == [0, 1]
    shutil.rmtree(joint.runs[1].folder.path)
    study = read_study(arms_study)
    assert study.of_arm("joint") == ()
    assert study.missing == ("joint (seed 0)",)


def test_validation_chooses_the_cell_of_an_arm(sweep_study):
    study = read_study(sweep_study)
    scores = {cell.name: cell.validation("val.auc") for cell in study.of_arm("joint")}
    chosen = study.representative("joint")
    assert scores[chosen.name] == max(scores.values())
    assert chosen.name == "joint [loss.lambda=0.5]"
    assert chosen.label == "joint [λ=0.5]"
    assert study.is_chosen(chosen)
    assert not study.is_chosen(study.of_arm("cls")[0])
    assert [cell.name for cell in study.shown] == ["cls", "seg", chosen.name]


def test_without_a_choice_every_cell_is_shown(sweep_study):
    path = sweep_study / "study.toml"
    path.write_text(path.read_text().replace('choose = "val.auc"', ""))
    study = read_study(sweep_study)
    assert study.representative("joint") is None
    assert len(study.shown) == 6


def test_nothing_complete_is_said_so(arms_study):
    for record in arms_study.glob("runs/*/record.json"):
        record.unlink()
    with pytest.raises(StudyError, match=r"none of the 8 runs in cells.csv is complete"):
        read_study(arms_study)


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(StudyError, match=r"must hold study.toml"):
        read_study(tmp_path)


def test_a_lacking_column_is_named(arms_study):
    path = arms_study / "cells.csv"
    pd.read_csv(path).drop(columns="hash").to_csv(path, index=False)
    with pytest.raises(DataError, match=r"cells.csv: the columns hash must be there"):
        read_study(arms_study)


def test_short_keys():
    assert short_key("loss.lambda") == "λ"
    assert short_key("model.backbone") == "backbone"


@pytest.mark.parametrize("name", ["cells.csv", "trials.csv"])
def test_a_torn_table_is_named_with_its_line(search_study, name):
    path = search_study / name
    lines = path.read_text().splitlines()[:3]
    path.write_text("\n".join([*lines, lines[-1][:5]]))
    with pytest.raises(DataError, match=rf"{name}: line 4 must have the \d+ fields of the header"):
        read_study(search_study)


def test_cells_of_the_same_runs_name_the_first_of_them(arms_study):
    path = arms_study / "cells.csv"
    cells = pd.read_csv(path, dtype=str, keep_default_na=False)
    twin = cells[cells["arm"] == "joint"].assign(cell="more", arm="joint")
    pd.concat([cells, twin]).to_csv(path, index=False)
    same = read_study(arms_study).same_runs
    assert same == {name: name for name in ("cls", "seg", "sequential", "joint")} | {
        "more": "joint"
    }
