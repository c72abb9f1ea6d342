"""Who says what an outlook assumes: the study file, its own runs, a pilot's runs, or nobody."""

import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from mtlbench.analysis.measured import measure
from mtlbench.config import AssumeConfig
from mtlbench.errors import StudyError
from mtlbench.records import RunFolder, write_csv, write_json
from mtlbench.study.power_assumptions import gather

RECORD = {
    "state": "complete", "attempts": 1, "seed": 0, "fold": None, "versions": {}, "device": "cpu",
    "git_commit": None, "started": "", "wall_s": 1.0, "steps": 1, "cases_per_s": 1.0,
    "validation": {}, "error": None,
}  # fmt: skip
STUDY = """name = "s"
dataset = "phantom"
seeds = [0, 1]
baseline = "one"
[budget]
rule = "per-stage"
epochs = 1
[[arms]]
name = "one"
set = { strategy = "cls" }
[[arms]]
name = "two"
set = { strategy = "cls" }
"""


def predictions(arm, seed, fold):
    """40 validation patients and 20 of the test set, an image each; arms share their errors."""
    n = 60
    label_N = np.arange(n) % 2
    shared_N = np.random.default_rng(fold).normal(size=n)
    own_N = np.random.default_rng([fold, seed, arm == "two"]).normal(size=n)
    score_N = expit(label_N + shared_N + 0.5 * own_N)
    split = np.where(np.arange(n) < 40, "val", "test")
    ids = [f"p{fold}_{k}" for k in range(n)]
    return pd.DataFrame(
        {"image_id": ids, "patient_id": ids, "split": split, "label": label_N, "score": score_N}
    )


@pytest.fixture
def results(tmp_path):
    """A results folder with two arms of two seeds, in as many folds as asked for."""

    def make(name, folds=("",)):
        folder, cells = tmp_path / name, []
        for fold in folds:
            for arm in ("one", "two"):
                for seed in (0, 1):
                    run = RunFolder(folder / "runs" / f"{arm}{seed}{fold}")
                    run.path.mkdir(parents=True)
                    frame = predictions(arm, seed, int(fold or 0))
                    frame.to_csv(run.path / "predictions.csv", index=False)
                    (run.path / "history.csv").write_text("step\n1\n")
                    config = {"model": {}, "optim": {}, "stages": [{"name": "cls"}]}
                    write_json(run.path / "config.json", config | {"loss": {}, "starts_from": None})
                    files = run.describe(["predictions.csv", "history.csv"])
                    run.write_record(RECORD | {"files": files})
                    row = {"cell": arm, "arm": arm, "seed": seed, "fold": fold, "hash": run.name}
                    cells.append(row | {"starts_from": "", "steps": 1})
        (folder / "study.toml").write_text(STUDY)
        write_csv(folder / "cells.csv", list(cells[0]), cells)
        write_json(folder / "recipe.json", {"adapter": "phantom"})
        (folder / "cases.csv").write_text("patient_id,split\np0,test\n")
        return folder

    return make


def expected(fold=0):
    frames = {
        arm: pd.concat([predictions(arm, seed, fold).assign(seed=seed) for seed in (0, 1)])
        for arm in ("one", "two")
    }
    return measure(frames, {"auc": "one"})


def test_without_runs_the_defaults_hold_but_for_what_is_set(tmp_path):
    found = gather(AssumeConfig(auc=0.7), tmp_path / "none", tmp_path)
    assert found.assume == AssumeConfig(auc=0.7)
    assert found.sources["auc"] == "set in [compare.assume]"
    assert {found.sources[key] for key in found.sources if key != "auc"} == {"default"}


def test_runs_say_what_is_not_set(results, tmp_path):
    found = gather(AssumeConfig(auc_correlation=0.5), results("own"), tmp_path)
    known = expected()
    assert found.assume.auc == pytest.approx(known["auc"])
    assert found.assume.auc_seed_sd == pytest.approx(known["auc_seed_sd"])
    assert found.assume.auc_correlation == 0.5 != known["auc_correlation"]
    assert found.sources["auc"] == (
        f"measured on the validation predictions of 4 runs in {tmp_path / 'own'}"
    )
    assert found.sources["auc_correlation"] == "set in [compare.assume]"
    assert found.sources["dice"] == "default"


def test_several_folds_are_averaged(results, tmp_path):
    found = gather(AssumeConfig(), results("own", ("0", "1")), tmp_path)
    mean = (expected(0)["auc_correlation"] + expected(1)["auc_correlation"]) / 2
    assert found.assume.auc_correlation == pytest.approx(mean)
    assert "of 8 runs" in found.sources["auc_correlation"]


def test_a_pilot_speaks_until_the_study_has_runs_of_its_own(results, tmp_path):
    results("pilot", ("1",))
    assume = AssumeConfig(pilot="pilot")
    found = gather(assume, tmp_path / "own", tmp_path)
    assert found.assume.auc == pytest.approx(expected(1)["auc"])
    assert "4 runs" in found.sources["auc"]
    assert "pilot" in found.sources["auc"]
    assert "pilot" not in found.sources
    found = gather(assume, results("own"), tmp_path)
    assert found.assume.auc == pytest.approx(expected(0)["auc"])


def test_a_pilot_must_be_there_but_own_runs_may_be_broken(results, tmp_path):
    with pytest.raises(StudyError, match="must hold study"):
        gather(AssumeConfig(pilot="nowhere"), tmp_path / "own", tmp_path)
    own = results("own")
    for run in (own / "runs").iterdir():
        text = (run / "predictions.csv").read_text()
        (run / "predictions.csv").write_text(text.replace("image_id", "image_it"))
    assert gather(AssumeConfig(), own, tmp_path).assume == AssumeConfig()
    shutil.rmtree(own / "runs")
    assert gather(AssumeConfig(), own, tmp_path).assume == AssumeConfig()
