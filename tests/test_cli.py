"""The commands, as users give them: in this process, since one of its own imports for seconds."""

import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import optuna
import pandas as pd
import pytest

from mtlbench import cli
from mtlbench.report import builder

SWEEP = """vary = { "loss.lambda" = [0.0, 0.5, 1.0] }
[compare]
choose = "val.auc"
resamples = 500
registry = "mine.toml"
published = ["own"]
"""
OWN = """[own]
paper = "A rival"
status = "verified"
source = "its paper"
dataset = "phantom"
level = "image"
rows = [{ name = "net", metric = "auc", value = 0.8, n_positive = 90, n_negative = 210 }]
"""
TABLES = ("table.csv", "table.md", "table.tex", "estimates.csv", "comparisons.csv")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    (folder / "mine.toml").write_text(OWN)
    return folder


@pytest.fixture(scope="module")
def mtlbench(home, handlers_kept):
    """Run a command in a folder of its own, with a cache of its own.

    Figures take most of the time of a report. Where they are not asked for, what is told is whether
    they would have had images.
    """

    def run(*arguments, code=0, figures=False):
        out, err, drawn = StringIO(), StringIO(), []
        with pytest.MonkeyPatch.context() as patch, handlers_kept():
            if not figures:
                patch.setattr(builder, "draw_all", lambda *_, images: drawn.append(images) or [])
            patch.chdir(home)
            patch.setenv("MTLBENCH_CACHE", str(home / "cache"))
            patch.setenv("COLUMNS", "200")
            patch.setattr(sys, "argv", ["mtlbench", *map(str, arguments)])
            with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
                cli.main()
        done = SimpleNamespace(stdout=out.getvalue(), stderr=err.getvalue(), images=drawn)
        assert (ended.value.code or 0) == code, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def text(tiny_study):
    """The tiny study with a sweep of λ in its last arm."""
    return tiny_study + SWEEP


@pytest.fixture(scope="module")
def study(home, mtlbench, text):
    """The results folder of that study."""
    (home / "tiny.toml").write_text(text)
    mtlbench("study", "run", "tiny.toml", "--device", "cpu", figures=True)
    return home / "results" / "tiny"


def predictions(study, **wanted):
    cells = pd.read_csv(study / "cells.csv")
    for key, value in wanted.items():
        cells = cells[cells[key.replace("__", ".")] == value]
    return pd.read_csv(study / "runs" / cells["hash"].iloc[0] / "predictions.csv")


def test_a_study_leaves_what_the_interface_names(study):
    for name in ("study.toml", "cells.csv", "cases.csv", "recipe.json", "report/index.html"):
        assert (study / name).is_file()
    for name in TABLES:
        assert (study / "report" / name).stat().st_size > 0
    for figure in ("forest", "roc", "curves", "cases"):
        for suffix in ("pdf", "svg", "png"):
            assert (study / "report" / "figures" / f"{figure}.{suffix}").is_file()
    (run, *_) = (study / "runs").iterdir()
    for name in ("config.json", "record.json", "history.csv", "predictions.csv"):
        assert (run / name).is_file()


def test_columns_of_a_task_that_is_not_trained_are_empty(study):
    cls, seg = predictions(study, arm="cls"), predictions(study, arm="seg")
    assert cls["score"].between(0, 1).all()
    assert cls["true_0"].isna().all()
    assert seg["score"].isna().all()
    assert (seg[[f"true_{k}" for k in range(5)]].sum(axis=1) == 32 * 24).all()
    assert set(cls["split"]) == {"val", "test"}


@pytest.mark.parametrize(("lambda_", "single"), [(1.0, "cls"), (0.0, "seg")])
def test_the_ends_of_lambda_predict_as_the_single_tasks_do(study, lambda_, single):
    joint = predictions(study, arm="joint", loss__lambda=lambda_, seed=0)
    assert joint.equals(predictions(study, arm=single, seed=0))


def test_a_finished_study_runs_nothing_again(study, mtlbench):
    before = {path: path.stat().st_mtime_ns for path in (study / "runs").rglob("record.json")}
    done = mtlbench("study", "run", "tiny.toml", "--json")
    assert json.loads(done.stdout)["done"] == 12
    assert before == {p: p.stat().st_mtime_ns for p in (study / "runs").rglob("record.json")}


def test_the_same_study_elsewhere_gives_the_same_bytes(study, mtlbench, home):
    mtlbench("study", "run", "tiny.toml", "--results", "again", "--jobs", "1")
    for name in TABLES:
        other = home / "again" / "tiny" / "report" / name
        assert other.read_bytes() == (study / "report" / name).read_bytes()


def test_status_and_plan_agree(study, mtlbench):
    status = json.loads(mtlbench("study", "status", study, "--json").stdout)
    plan = json.loads(mtlbench("study", "plan", "tiny.toml", "--json").stdout)
    assert (status["cells"], status["runs"], status["done"], status["shared"]) == (6, 12, 12, 2)
    assert plan["rows"] == status["rows"]
    assert plan["estimated_s"] == 0
    (row,) = [r for r in status["rows"] if r["arm"] == "seg" and r["seed"] == 0]
    assert row["shares"] == ["sequential"]


def test_a_plan_refuses_what_a_run_would_refuse(study, mtlbench, home):
    text = (home / "tiny.toml").read_text(encoding="utf-8")
    (home / "changed.toml").write_text(text.replace("epochs = 2", "epochs = 3"), encoding="utf-8")
    for command in ("plan", "run"):
        refused = mtlbench("study", command, "changed.toml", code=2)
        assert "a study may grow, but what has begun must stay as it is" in refused.stderr
        assert "stages.1.epochs: 2 -> 3, by strategy, budget" in refused.stderr


def test_a_report_has_images_but_where_none_are_asked_for(study, mtlbench):
    assert mtlbench("study", "report", study).images == [True]
    assert mtlbench("study", "report", study, "--no-images").images == [False]


@pytest.fixture(scope="module")
def two_arms(tiny_study):
    """The tiny study of the single tasks and one seed."""
    head, _, _ = tiny_study.partition('[[arms]]\nname = "sequential"')
    return head.replace("seeds = [0, 1]", "seeds = [0]")


def test_folds_test_every_patient_once(home, mtlbench, two_arms):
    folded = two_arms.replace('"tiny"', '"folds"').replace("[budget]", "folds = 2\n[budget]", 1)
    (home / "folds.toml").write_text(folded)
    mtlbench("study", "run", "folds.toml", "--device", "cpu")
    study = home / "results" / "folds"
    cells = pd.read_csv(study / "cells.csv").query("arm == 'cls'")
    parts = [pd.read_csv(study / "runs" / name / "predictions.csv") for name in cells["hash"]]
    tested = pd.concat([part[part["split"] == "test"] for part in parts])
    assert sorted(tested["image_id"]) == sorted(pd.read_csv(study / "cases.csv")["image_id"])


def test_a_faulty_study_exits_2_and_leaves_nothing(home, mtlbench, text):
    (home / "bad.toml").write_text(text.replace("batch_size = 8", "batch = 8"))
    done = mtlbench("study", "run", "bad.toml", "--results", "bad", code=2)
    assert done.stderr.strip() == "error: bad.toml: base.optim.batch: unknown key"
    assert not (home / "bad").exists()


@pytest.fixture(scope="module")
def diverged(home, mtlbench, two_arms):
    """What `study run` said of a study whose runs fail."""
    diverging = two_arms.replace("batch_size = 8", "batch_size = 8\nlr = 1e30")
    (home / "diverges.toml").write_text(diverging.replace('"tiny"', '"diverges"'))
    return mtlbench("study", "run", "diverges.toml", code=3)


def test_a_failing_run_is_listed_and_exits_3(diverged, mtlbench):
    assert "DivergedError: the loss must stay finite" in diverged.stderr
    status = json.loads(mtlbench("study", "status", "results/diverges", "--json").stdout)
    assert status["failed"] == 2
    assert status["running"] == 0


@pytest.fixture(scope="module")
def demo(home, mtlbench):
    mtlbench("data", "phantom", "demo", "--as", "folder", "--patients", "3", "--size", "64x48")
    return home / "demo"


def test_a_folder_is_checked_prepared_indexed_and_shown(home, demo, mtlbench):
    found = json.loads(mtlbench("data", "check", "folder", "demo", "--json").stdout)
    assert (found["images"], found["errors"]) == (12, 0)
    mtlbench("data", "prepare", "folder", "demo", "--out", "prepared", "--size", "32x24")
    mtlbench("data", "index", "folder", "demo", "--out", "index")
    cases = pd.read_csv(home / "index" / "cases.csv")
    assert len(cases) == 12
    name = cases["image_id"].iloc[0]
    mtlbench("data", "show", "folder", "demo", name, "--out", "shown.png")
    assert (home / "shown.png").read_bytes()[:4] == b"\x89PNG"


def test_a_truncated_image_exits_4_with_its_place(home, mtlbench):
    mtlbench("data", "phantom", "cut", "--as", "mias", "--patients", "2", "--size", "64x48")
    image = next(Path(home, "cut").rglob("*.pgm"))
    image.write_bytes(image.read_bytes()[:5000])
    done = mtlbench("data", "prepare", "mias", "cut", "--out", "never", "--size", "32x24", code=4)
    assert image.name in done.stderr
    assert not (home / "never").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("study", "list"), ("study", "status", "results/tiny"), ("published", "list"),
        ("published", "show", "le2019-table1"), ("data", "check", "folder", "demo"),
        ("study", "report", "results/tiny"),
    ],
)  # fmt: skip
def test_commands_that_only_read_import_no_torch(study, demo, home, arguments):
    code = (
        "import sys, mtlbench.cli as c\ntry:\n c.main()\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'optuna' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=home, check=True, timeout=600)


def test_a_damaged_prediction_is_computed_again(study, mtlbench):
    before = {p: p.read_bytes() for p in (study / "runs").rglob("predictions.csv")}
    damaged = next(iter(before))
    damaged.write_bytes(b"x" * len(before[damaged]))
    (damaged.parent / ".history.csv.abc.tmp").write_text("what a killed write leaves behind")
    mtlbench("study", "run", "tiny.toml")
    assert before == {p: p.read_bytes() for p in (study / "runs").rglob("predictions.csv")}
    assert not list(damaged.parent.glob(".*.tmp"))


def test_a_data_set_without_masks_trains_what_it_can(home, mtlbench, two_arms):
    mtlbench("data", "phantom", "bare", "--as", "folder", "--patients", "24", "--size", "32x24")
    manifest = pd.read_csv(home / "bare" / "manifest.csv", dtype=str)
    manifest.assign(mask="").to_csv(home / "bare" / "manifest.csv", index=False)
    bare = two_arms.replace('"tiny"', '"bare"').replace('"phantom"', '"folder"')
    bare = bare.replace('patients = 24\ndifficulty = "easy"\n', "")
    (home / "bare.toml").write_text(bare)
    mtlbench("study", "run", "bare.toml", "--data", "folder=bare")
    table = pd.read_csv(home / "results" / "bare" / "report" / "estimates.csv")
    assert table.query("metric == 'auc' and cell == 'cls'")["value"].notna().all()
    assert table.query("metric == 'dice'")["value"].isna().all()


@pytest.fixture(scope="module")
def searched(home, mtlbench, tiny_study):
    """A search over λ with two objectives, done."""
    head, _, _ = tiny_study.partition('[[arms]]\nname = "sequential"')
    head = head.replace('name = "tiny"', 'name = "seek"\nkind = "search"', 1)
    head = head.replace("[base.model]", '[search]\ntrials = 3\nparallel = 2\n'
                        'objective = ["val.auc", "val.dice_lesions"]\n[base.model]')  # fmt: skip
    arm = '[[arms]]\nname = "joint"\nset = { strategy = "joint" }\n'
    arm += 'search = { "loss.lambda" = { low = 0.05, high = 0.95 } }\n'
    (home / "seek.toml").write_text(head + arm)
    plan = json.loads(mtlbench("study", "plan", "seek.toml", "--json").stdout)
    to_come = {"trials": 3, "done": 0, "finalists": 1, "found": 0, "runs_each": 2}
    assert plan["search"] == {"joint": to_come}
    assert (plan["cells"], plan["runs"]) == (2, 4)
    mtlbench("study", "run", "seek.toml", "--device", "cpu", "--only", "joint")
    mtlbench("study", "run", "seek.toml", "--device", "cpu")
    return home / "results" / "seek"


@pytest.mark.usefixtures("searched")
def test_the_plan_of_a_search_that_is_done_has_its_finalists(mtlbench):
    plan = json.loads(mtlbench("study", "plan", "seek.toml", "--json").stdout)
    assert [plan[key] for key in ("cells", "runs", "done")] == [3, 6, 6]
    assert plan["search"]["joint"] | {"done": 3, "found": 1} == plan["search"]["joint"]
    assert plan["estimated_s"] == 0
    said = mtlbench("study", "plan", "seek.toml").stdout
    assert "joint: 3 of 3 trials done; 1 of 1 finalists found, each trained in 2 runs" in said


def test_trials_see_no_test_case_and_finalists_are_trained_afresh(searched, mtlbench):
    trials = pd.read_csv(searched / "trials.csv")
    cells = pd.read_csv(searched / "cells.csv")
    finalist = cells[cells["arm"] == "joint"]
    assert len(trials) == 3
    assert len(finalist) == 2
    for name in trials["runs"]:
        config = json.loads((searched / "runs" / name / "config.json").read_text())
        rows = pd.read_csv(searched / "runs" / name / "predictions.csv")
        assert set(rows["split"]) == {"val"}
        assert config["seed"] not in set(finalist["seed"])
    for name in finalist["hash"]:
        rows = pd.read_csv(searched / "runs" / name / "predictions.csv")
        assert set(rows["split"]) == {"val", "test"}
    status = json.loads(mtlbench("study", "status", searched, "--json").stdout)
    assert status["trials"] == {"joint": {"complete": 3}}
    assert status["done"] == status["runs"] == 6
    assert "3 configurations were searched" in (searched / "report" / "table.md").read_text()


def test_a_search_that_is_done_computes_nothing_and_its_store_is_made_again(searched, mtlbench):
    before = {p: p.stat().st_mtime_ns for p in searched.glob("runs/*/record.json")}
    (searched / "optuna.db").unlink()
    mtlbench("study", "run", "seek.toml", "--device", "cpu")
    assert before == {p: p.stat().st_mtime_ns for p in searched.glob("runs/*/record.json")}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trials = optuna.load_study(
        study_name="seek/joint", storage=f"sqlite:///{searched / 'optuna.db'}"
    ).trials
    assert [t.state.name for t in trials] == ["COMPLETE"] * 3
    expected = pd.read_csv(searched / "trials.csv")["loss.lambda"]
    assert [t.params["loss.lambda"] for t in trials] == list(expected)


def test_a_study_may_grow_but_not_change(study, mtlbench, home, text):
    (home / "tiny.toml").write_text(text.replace("batch_size = 8", "batch_size = 4"))
    kept = (study / "study.toml").read_text()
    done = mtlbench("study", "run", "tiny.toml", "--device", "cpu", code=2)
    assert "optim.batch_size: 8 -> 4 (12 runs)" in done.stderr
    assert (study / "study.toml").read_text() == kept
    (home / "tiny.toml").write_text(text)


@pytest.mark.usefixtures("diverged")
def test_failed_runs_are_given_up_until_they_are_forgiven(home, mtlbench):
    study = home / "results" / "diverges"
    runs = json.loads(mtlbench("study", "status", study, "--json").stdout)["rows"]
    failed = {row["hash"]: row["attempts"] for row in runs if row["state"] == "failed"}
    mtlbench("study", "run", "diverges.toml", code=3)
    again = json.loads(mtlbench("study", "status", study, "--json").stdout)["rows"]
    assert failed == {row["hash"]: row["attempts"] for row in again if row["state"] == "failed"}
    forgiven = json.loads(mtlbench("study", "retry", study, "--json").stdout)["retried"]
    assert sorted(forgiven) == sorted(failed)
    assert json.loads(mtlbench("study", "status", study, "--json").stdout)["failed"] == 0
    mtlbench("study", "retry", home, code=2)


def test_own_published_entries_are_kept_with_the_results(study, mtlbench, home):
    assert (study / "published.toml").read_text() == OWN
    table = (study / "report" / "table.md").read_text()
    assert "As published by A rival; not comparable: label rule" in table
    assert "| cls | net |" in table
    assert "Hanley-McNeil" in table
    listed = json.loads(mtlbench("published", "list", "--registry", "mine.toml", "--json").stdout)
    assert listed["own"]["paper"] == "A rival"
    (home / "lost.toml").write_text((study / "study.toml").read_text().replace("mine", "none"))
    done = mtlbench("study", "check", "lost.toml", code=2)
    assert "lost.toml: compare.registry: none.toml: cannot be read" in done.stderr


def test_compare_sets_predictions_against_published_numbers(study, mtlbench):
    runs = pd.read_csv(study / "cells.csv").set_index("cell")["hash"]
    run = study / "runs" / runs["cls"].iloc[0] / "predictions.csv"
    rows = [f"{name}={run}" for name in ("one", "two")]
    command = ("compare", *rows, "--published", "own", "--registry", "mine.toml", "--json")
    fields = ("--protocol", "dataset=Phantom", "--protocol", "level=breast")
    found = json.loads(mtlbench(*command, *fields).stdout)["published"]
    assert [(row["arm"], row["name"], row["published"]) for row in found] == [
        ("one", "net", 0.8), ("two", "net", 0.8)
    ]  # fmt: skip
    assert found[0]["not_comparable"][:2] == ["label_rule", "level"]
    assert {*found[0]["not_comparable"]} - {*found[0]["not_stated"]} == {"level"}
    unread = mtlbench("compare", *rows, "--published", "zhu2017", code=2).stderr
    assert "'zhu2017' is disabled, because unverified" in unread
    unknown = mtlbench("published", "show", "le2019-table", code=2).stderr
    assert "did you mean 'le2019-table1'" in unknown
    assert "FIELD=VALUE" in mtlbench("compare", *rows, "--protocol", "x=1", code=2).stderr


def test_a_study_that_cannot_answer_its_question_says_so(study, mtlbench):
    said = "this study cannot answer its question: with 80 % power it finds differences in AUC"
    assert said in mtlbench("study", "plan", "tiny.toml").stdout
    assert said in mtlbench("study", "run", "tiny.toml").stderr
    power = json.loads(mtlbench("study", "plan", "tiny.toml", "--json").stdout)["power"]
    assert power["metrics"]["auc"]["smallest_difference"] > power["metrics"]["auc"]["effect"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--executor", "cloud"), "--executor must be one of local, ray, slurm, but got 'cloud'"),
        (("--tracker", "paper"), "--tracker must be one of"),
        (("--only", "nobody"), "--only must be one of cls, seg, sequential, joint"),
    ],
)
def test_unknown_names_exit_2(study, mtlbench, arguments, said):
    assert said in mtlbench("study", "run", "tiny.toml", *arguments, code=2).stderr
