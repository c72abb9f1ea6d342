import json

import pytest

from mtlbench.config import load_study
from mtlbench.errors import StudyError
from mtlbench.records import RunFolder, write_csv, write_json
from mtlbench.study.cells import expand
from mtlbench.study.changes import pairs_of, refuse_changes
from mtlbench.study.data import load_data
from mtlbench.study.design import build_design

KEYS = [  # of each table of a study file that shapes runs: old text, new text, what the diff says
    ("epochs = 2", "epochs = 3", "stages.1.epochs: 2 -> 3"),
    ("epochs = 2", "steps = 9", "stages.1.steps: null -> 9"),
    ("output_stride = 8", "output_stride = 16", "model.output_stride: 8 -> 16"),
    ('backbone = "small"', 'backbone = "resnet18"', 'model.backbone: "small" -> "resnet18"'),
    ("batch_size = 8", "batch_size = 4", "optim.batch_size: 8 -> 4"),
    ("batch_size = 8", "batch_size = 8\nlr = 0.5", "optim.lr: 0.001 -> 0.5"),
    ("batch_size = 8", 'batch_size = 8\nselect = "val.auc"', "optim.select"),
    ("[base.optim]", "[base.augment]\nflip = false\n[base.optim]", "augment.flip: true -> false"),
    ("[base.optim]", '[base.loss]\nclass_weights = "none"\n[base.optim]', "loss.class_weights"),
    (
        "[base.optim]",
        "[base.loss]\nlambda = 0.25\n[base.optim]",
        "stages.1.cls_weight: 0.5 -> 0.25",
    ),
    ("[base.model]", "[resources]\nthreads = 2\n[base.model]", "threads: 1 -> 2"),
    ("[base.model]", "[resources]\ngpus_per_run = 2\n[base.model]", "gpus_per_run: absent -> 2"),
    ("patients = 24", "patients = 23", "data."),
    ("size = [32, 24]", "size = [40, 30]", "data."),
    ("patients = 24", "patients = 24\nsplit_seed = 5", "split."),
    ("patients = 24", "patients = 24\ntest = 0.3", "split."),
    ("seeds = [0, 1]", "seeds = [0]", "joint: is no longer in the study"),
]
GROWTH = [
    ('name = "joint"', 'name = "both"'),  # its runs are those of the same configuration
    ("seeds = [0, 1]", "seeds = [0, 1, 2]"),
    ('[[arms]]\nname = "cls"', '[[arms]]\nname = "more"\nset = { strategy = "cls" }\n'
     '[[arms]]\nname = "cls"'),
    ("[base.model]", "[resources]\ncheckpoint_steps = 7\nretries = 0\n[base.model]"),
    ('[[arms]]\nname = "cls"', '[compare]\nresamples = 500\n[[arms]]\nname = "cls"'),
]  # fmt: skip


@pytest.fixture
def begun(tmp_path, design_of, complete):
    """A results folder of the tiny study in which every run has begun."""
    design, folder = design_of(), tmp_path / "results"
    write_csv(folder / "cells.csv", *design.cells_table())
    for name, run in design.runs.items():
        path = folder / "runs" / name
        path.mkdir(parents=True)
        write_json(path / "config.json", run.config)
        complete(RunFolder(path))
    return folder


def check(folder, study_file, *replacements):
    study = load_study(study_file(*replacements))
    design = build_design(study, expand(study), load_data(study, {}))
    refuse_changes(folder, pairs_of(folder, design))


@pytest.mark.parametrize(("old", "new", "said"), KEYS)
def test_a_change_under_runs_that_have_begun_is_refused_with_a_diff(
    begun, study_file, old, new, said
):
    with pytest.raises(StudyError, match="a study may grow") as error:
        check(begun, study_file, (old, new))
    assert said in str(error.value)
    assert "another name" in str(error.value)


@pytest.mark.parametrize(("old", "new", "said"), KEYS)
def test_a_change_is_refused_also_where_cells_csv_has_been_deleted(
    begun, study_file, old, new, said
):
    (begun / "cells.csv").unlink()
    check(begun, study_file)
    with pytest.raises(StudyError, match="a study may grow") as error:
        check(begun, study_file, (old, new))
    assert said.replace("joint: is", ": is") in str(error.value)


def test_other_weights_are_refused_but_a_file_may_move(tmp_path, study_file, design_of, complete):
    file, moved = tmp_path / "a.pth", tmp_path / "b.pth"
    file.write_bytes(b"old")

    def pretrained(path):
        return 'backbone = "small"', f'backbone = "resnet18"\nweights = "{path}"'

    design = design_of(pretrained(file))
    assert {run.weights for run in design.runs.values()} == {file}
    assert str(file) not in json.dumps([run.config for run in design.runs.values()])
    folder = tmp_path / "results"
    write_csv(folder / "cells.csv", *design.cells_table())
    for name, run in design.runs.items():
        write_json(folder / "runs" / name / "config.json", run.config)
        complete(RunFolder(folder / "runs" / name))
    file.rename(moved)
    check(folder, study_file, pretrained(moved))
    moved.write_bytes(b"new")
    with pytest.raises(StudyError, match=r"model\.weights: other content \(8 runs\)"):
        check(folder, study_file, pretrained(moved))


@pytest.mark.parametrize(("old", "new"), GROWTH)
@pytest.mark.parametrize("deleted", [False, True])
def test_a_study_may_grow(begun, study_file, old, new, deleted):
    if deleted:
        (begun / "cells.csv").unlink()
    check(begun, study_file, (old, new))


def test_results_that_came_without_their_weights_bind_nobody(begun, study_file):
    """As those of a repository do: they would be computed again anyway."""
    for path in begun.glob("runs/*"):
        files = {"model.safetensors": {"bytes": 7, "sha256": ""}}
        RunFolder(path).write_record({"state": "complete", "files": files})
    check(begun, study_file, ("epochs = 2", "epochs = 3"))


def test_what_has_not_begun_may_change(tmp_path, design_of, study_file):
    write_csv(tmp_path / "results" / "cells.csv", *design_of().cells_table())
    check(tmp_path / "results", study_file, ("epochs = 2", "epochs = 3"))
    check(tmp_path / "nothing", study_file, ("epochs = 2", "epochs = 3"))
