"""Searches that grow, driven to the end without training."""

import io
import math

import optuna
import pandas as pd
import pytest
from rich.console import Console

from mtlbench.errors import StudyError
from mtlbench.records import RunFolder, write_csv, write_json
from mtlbench.study import session as sessions
from mtlbench.study.session import Options, drive, open_session
from mtlbench.training.loop import HISTORY

STUDY = """
name = "hunt"
kind = "search"
dataset = "phantom"
seeds = [0, 1]
baseline = "cls"
[data]
size = [32, 24]
patients = 24
difficulty = "easy"
[budget]
rule = "per-stage"
epochs = 1
[base.model]
backbone = "small"
output_stride = 8
[search]
sampler = "random"
trials = 3
[[arms]]
name = "cls"
set = { strategy = "cls" }
[[arms]]
name = "A"
set = { strategy = "joint" }
search = { "optim.lr" = { low = 1e-4, high = 1e-1, log = true } }
[[arms]]
name = "B"
set = { strategy = "sequential" }
search = { "optim.lr" = { low = 1e-4, high = 1e-1, log = true } }
"""


def complete(task):
    """Complete a run; the AUC is the better the closer the learning rate is to 0.01."""
    run, config = RunFolder(task.folder), task.config
    task.folder.mkdir(parents=True, exist_ok=True)
    auc = 1 - 0.1 * abs(math.log10(config["optim"]["lr"]) + 2)
    write_csv(run.path / "history.csv", HISTORY, [{"epoch": 1, "step": 1, "val_auc": auc}])
    write_json(run.path / "config.json", config)
    (run.path / "model.safetensors").write_text("")
    values = {"auc": auc, "dice": 0.5, "dice_lesions": 0.5, "dice_any": 0.5}
    files = run.describe(["model.safetensors"])
    run.write_record({"state": "complete", "files": files, "validation": values})


@pytest.fixture
def compute_by(monkeypatch, executor_of):
    """Let a function compute the runs."""
    return lambda compute: monkeypatch.setitem(sessions.EXECUTORS, "local", executor_of(compute))


@pytest.fixture
def hunt(tmp_path, monkeypatch, compute_by):
    """Run the study with replacements; give the results folder and what was said."""
    compute_by(complete)
    monkeypatch.setattr("os.fsync", lambda handle: None)

    def run(*replacements, only=(), store=None):
        text = STUDY
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "hunt.toml").write_text(text)
        console = Console(file=io.StringIO(), width=200)
        session = open_session(tmp_path / "hunt.toml", tmp_path / "results", {}, console)
        assert drive(session, Options([("cpu",)], only=only, store=store), console) == {}
        return session.folder, console.file.getvalue()

    return run


def finalists(folder):
    """Arm → its finalists in cells.csv, all of whose runs must be complete."""
    cells = pd.read_csv(folder / "cells.csv")
    assert all(RunFolder(folder / "runs" / name).state() == "complete" for name in cells["hash"])
    cells = cells[cells["arm"].isin(["A", "B"])]
    return {arm: set(part["cell"]) for arm, part in cells.groupby("arm")}


def best(folder, arm):
    """The arm's best trial, by trials.csv."""
    trials = pd.read_csv(folder / "trials.csv")
    row = trials[trials["arm"] == arm].sort_values("val.auc").iloc[-1]
    return {f"{arm} [trial {row['trial']}]"}


TEN = ("trials = 3", "trials = 10")


def test_finalists_that_a_growing_search_displaces_are_kept_and_told(hunt):
    folder, _ = hunt()
    few, kept = finalists(folder), {path.name for path in folder.glob("runs/*")}
    folder, said = hunt(TEN)
    more = finalists(folder)
    assert few["A"] != more["A"] == best(folder, "A")
    assert few["B"] != more["B"] == best(folder, "B")
    assert kept < {path.name for path in folder.glob("runs/*")}
    # two seeds of A's, and of each of B's two stages
    assert "former finalists that are kept in runs/, no longer shown: 6\n" in said
    assert "former finalists" not in hunt(TEN)[1]


def test_a_search_keeps_what_it_tried_where_fewer_trials_are_asked_for(hunt, monkeypatch):
    folder, _ = hunt(TEN)
    before, trials = finalists(folder), (folder / "trials.csv").read_text()
    runs = {path.name for path in folder.glob("runs/*")}
    monkeypatch.delitem(sessions.EXECUTORS, "local")  # there is nothing to compute
    folder, said = hunt()
    assert finalists(folder) == before
    assert (folder / "trials.csv").read_text() == trials
    assert {path.name for path in folder.glob("runs/*")} == runs
    assert said == ""


def test_fewer_finalists_are_a_part_of_those_before_and_come_back(hunt):
    two = ("trials = 3", "trials = 3\nfinalists = 2")
    folder, _ = hunt(two)
    before = finalists(folder)
    assert "no longer shown: 6\n" in hunt()[1]
    assert finalists(folder)["A"] == best(folder, "A") < before["A"]
    assert "A" not in hunt(two)[1], "its runs are still there"
    assert finalists(folder) == before


def test_the_other_arms_of_a_search_stay_as_they_are_with_only(hunt):
    folder, _ = hunt()
    few = finalists(folder)
    assert hunt(only=["A"])[1] == ""
    assert finalists(folder) == few
    hunt(TEN, only=["A"])
    assert finalists(folder) == {"A": best(folder, "A"), "B": few["B"]}
    assert pd.read_csv(folder / "trials.csv")["arm"].value_counts().to_dict() == {"A": 10, "B": 3}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('strategy = "cls" }', 'strategy = "cls", "optim.batch_size" = 4 }',
         "optim.batch_size: 16 -> 4"),
        ("seeds = [0, 1]", "seeds = [0]", r"A \[trial \d\]: is no longer in the study"),
        ("epochs = 1", "epochs = 2", "stages.1.epochs: 1 -> 2"),
    ],
)  # fmt: skip
def test_a_change_is_refused_before_a_growing_search_computes_anything(hunt, old, new, said):
    folder, _ = hunt()
    before = {path: path.read_bytes() for path in folder.rglob("*.[cjt]*") if path.is_file()}
    with pytest.raises(StudyError, match=said):
        hunt(TEN, (old, new))
    after = {path: path.read_bytes() for path in folder.rglob("*.[cjt]*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize("at", [0, 4, 12])
def test_a_store_that_is_deleted_meanwhile_is_made_again_and_the_study_goes_on(
    hunt, compute_by, tmp_path, at
):
    """Of 17 runs 9 are trials: in the search, and after it."""
    submitted = []

    def forgetful(task):
        if len(submitted) == at:
            (tmp_path / "results/hunt/optuna.db").unlink()
        submitted.append(task.folder.name)
        complete(task)

    compute_by(forgetful)
    folder, said = hunt()
    told = f"sqlite:///{folder}/optuna.db: lost, its file was deleted or moved; it is made again"
    assert said.count(told) == 1
    assert len(submitted) == len(set(submitted)) == 17, "no run was done twice"
    url = f"sqlite:///{folder}/optuna.db"
    trials = [optuna.load_study(study_name=f"hunt/{arm}", storage=url).trials for arm in "AB"]
    assert [[trial.state.name for trial in arm] for arm in trials] == [["COMPLETE"] * 3] * 2
    cells = optuna.load_study(study_name="hunt", storage=url).trials
    runs = set(pd.read_csv(folder / "cells.csv")["hash"])
    assert sorted(t.user_attrs["run"] for t in cells if t.state.name == "COMPLETE") == sorted(runs)


@pytest.mark.parametrize("url", ["sqlite:///{}", "journal:{}"])
def test_a_store_of_the_user_s_that_cannot_be_opened_again_is_one_line(
    hunt, compute_by, tmp_path, url
):
    def breaking(task):
        complete(task)
        mine.write_text("nothing that Optuna reads\n" * 1000)

    mine = tmp_path / "mine.db"
    compute_by(breaking)
    with pytest.raises(StudyError, match=r"--store: .*mine\.db: must be an Optuna storage"):
        hunt(store=url.format(mine))
