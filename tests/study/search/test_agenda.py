"""Searches driven without training: runs end in any order, with values of a planted surface."""

import csv
import json
import math
import random
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import sqlalchemy

from mtlbench.config import load_study
from mtlbench.errors import StudyError
from mtlbench.records import RunFolder, write_csv
from mtlbench.study.data import load_data
from mtlbench.study.design import build_design, expand
from mtlbench.study.search import arm as arm_search
from mtlbench.study.search.agenda import Search
from mtlbench.study.search.finalists import hypervolume
from mtlbench.training.loop import HISTORY

MEMORY = "memory"
"""Stands for Optuna's storage in memory, where nothing is killed: ten times as fast."""


class Killed(Exception):
    """The driver is gone."""


class FakeDriver:
    """Computes what a search asks for; counts how often each run is begun and is complete."""

    def __init__(self, folder: Path, surface: Callable[[dict], dict], epochs: int = 2):
        self.folder, self.surface, self.epochs = folder, surface, epochs
        self.begun: list[str] = []
        self.completed: list[str] = []

    def run(self, search, slots=1, rng=None, kill_after=None, fails=()):
        """Drive until done, or die after so many events; return the failures."""
        rng = rng or random.Random(0)
        busy, failures, events = {}, {}, 0
        while True:
            while len(busy) < slots and (run := search.next()) is not None:
                assert run.hash not in busy, "computed twice at a time"
                start = run.starts_from
                assert start is None or RunFolder(self.path(start)).state() == "complete"
                assert RunFolder(self.path(run.hash)).state() != "complete"
                self.path(run.hash).mkdir(parents=True, exist_ok=True)
                assert search.label(run.hash)
                assert run.config["predict"] == ["val"], "a trial would see the test cases"
                self.begun.append(run.hash)
                busy[run.hash] = (run, self.training(run, search))
            if not busy:
                return failures
            events += 1
            if kill_after is not None and events > kill_after:
                raise Killed
            name = rng.choice(sorted(busy))
            run, training = busy[name]
            if name in fails:
                reason = "RuntimeError: planted"
                RunFolder(self.path(name)).write_record(
                    {"state": "failed", "failures": 9, "error": reason}
                )
            elif next(training, "over") == "epoch":
                continue
            else:
                reason = None
            del busy[name]
            failures |= ({} if reason is None else {name: reason}) | search.ended(name, reason)

    def path(self, name):
        return self.folder / "runs" / name

    def training(self, run, search):
        """Yield after each epoch; the record is written at the end, or where the search says."""
        path, rows, final = self.path(run.hash), [], self.surface(run.config)
        for epoch in range(1, run.epochs + 1):
            values = self.curve(final, epoch / run.epochs)
            row = dict.fromkeys(HISTORY) | {"stage": "x", "epoch": epoch, "step": epoch}
            row |= {f"val_{key}": value for key, value in values.items()}
            rows.append(row)
            write_csv(path / "history.csv", HISTORY, rows)
            if search.epoch(run.hash, {**row, "epoch": float(epoch)}):
                self.record(path, {"state": "pruned"})
                return
            if epoch < run.epochs:
                yield "epoch"
        (path / "model.safetensors").write_text("")
        files = {"model.safetensors": {"bytes": 0, "sha256": EMPTY}}
        self.record(path, {"state": "complete", "files": files, "validation": final})
        self.completed.append(run.hash)

    def curve(self, final, fraction):
        return {k: None if v is None else v * (0.5 + 0.5 * fraction) for k, v in final.items()}

    def record(self, path, record):
        (path / "record.json").write_text(json.dumps(record))


EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

STUDY = """
name = "hunt"
kind = "search"
dataset = "phantom"
seeds = [0, 1]
baseline = "joint"
[data]
size = [32, 24]
patients = 24
difficulty = "easy"
[budget]
rule = "per-stage"
epochs = EPOCHS
[base.model]
backbone = "small"
output_stride = 8
[search]
SEARCH
[[arms]]
name = "joint"
set = { strategy = "joint" }
[arms.search]
SPACE
"""
SPACE = """
"loss.lambda" = { low = 0.05, high = 0.95 }
"optim.lr" = { low = 1e-4, high = 1e-1, log = true }
"""
WIDE = """
"strategy" = ["joint", "sequential"]
"loss.lambda" = { low = 0.05, high = 0.95, when = { strategy = "joint" } }
"optim.batch_size" = { low = 4, high = 8, step = 4 }
"model.output_stride" = [8, 16]
"""


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """Nothing here pulls the plug, so nothing need be flushed."""
    monkeypatch.setattr("os.fsync", lambda handle: None)

    def relax(connection, _):
        connection.execute("PRAGMA synchronous = OFF")

    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "connect", relax)
    yield
    sqlalchemy.event.remove(sqlalchemy.engine.Engine, "connect", relax)


@pytest.fixture
def world(tmp_path):
    """Give (study, data) of a search with these lines of `[search]`, its space and more arms."""

    def make(search="trials = 12", space=SPACE, more="", epochs=2):
        text = STUDY.replace("EPOCHS", str(epochs)).replace("SEARCH", search)
        path = tmp_path / "hunt.toml"
        if '"strategy"' in space:
            text = text.replace('set = { strategy = "joint" }\n', "")
        path.write_text(text.replace("SPACE", space) + more)
        study = load_study(path)
        expand(study)
        return study, load_data(study, {})

    return make


@pytest.fixture
def hunt(tmp_path, world, monkeypatch):
    """Give an opener of searches on one folder, and a driver of it."""

    def in_memory(url, name, directions, fits, folder):
        return optuna.create_study(study_name=name, directions=directions)

    def make(*args, surface=None, folder="results", url=None, **kwargs):
        study, data = world(*args, **kwargs)
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        if url == MEMORY:
            monkeypatch.setattr(arm_search, "open_study", in_memory)
        url = url or f"sqlite:///{root / 'optuna.db'}"
        driver = FakeDriver(root, surface or peak())
        return lambda: Search(study, data, root, url, retries=2), driver

    return make


def peak(lambda_=0.3, log_lr=-2.5):
    """A planted surface: AUC is best at this λ and log10 lr, 1 there; Dice is best at λ = 0.8."""

    def values(config):
        weight = config["stages"][-1]["cls_weight"]
        lr = math.log10(config["optim"]["lr"])
        noise = config["seed"] * 1e-6 + config["optim"]["batch_size"] * 1e-5
        auc = 1 - 0.8 * (weight - lambda_) ** 2 - 0.08 * (lr - log_lr) ** 2
        dice = 1 - 0.8 * (weight - 0.8) ** 2 - 0.08 * (lr - log_lr) ** 2
        return {
            "auc": auc - noise, "dice": dice, "dice_lesions": dice - noise, "dice_any": None,
        }  # fmt: skip

    return values


def trials(folder):
    with (folder / "trials.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def optuna_trials(folder, arm="joint"):
    return optuna.load_study(
        study_name=f"hunt/{arm}", storage=f"sqlite:///{folder / 'optuna.db'}"
    ).get_trials()


def fingerprint(folder):
    """What must be the same to the bit: the file, and what Optuna holds."""
    told = [
        (t.number, t.state, t.params, t.values, t.intermediate_values, t.user_attrs)
        for t in optuna_trials(folder)
    ]
    return (folder / "trials.csv").read_bytes(), told


# --- what is asked, told and written ---------------------------------------------------------


def test_every_trial_is_computed_once_and_the_best_is_the_finalist(hunt):
    make, driver = hunt("trials = 12\nfinalists = 2")
    search = make()
    assert driver.run(search, slots=3) == {}
    rows = trials(driver.folder)
    assert [row["state"] for row in rows] == ["complete"] * 12
    assert max(Counter(driver.begun).values()) == 1
    best = sorted(rows, key=lambda row: -float(row["val.auc"]))[:2]
    cells = search.finalists()
    assert [cell.trial for cell in cells] == [int(row["trial"]) for row in best]
    assert [cell.label for cell in cells] == [f"joint [trial {row['trial']}]" for row in best]
    assert [repr(c.varied["loss.lambda"]) for c in cells] == [r["loss.lambda"] for r in best]
    assert (search.work.done, search.work.total, search.work.steps_left) == (12, 12, 0)


def test_a_trial_is_written_before_its_first_run_starts(hunt):
    make, driver = hunt("trials = 6\nparallel = 2")
    search = make()
    before = search.work.steps_left
    run = search.next()
    [first, second] = trials(driver.folder)
    assert first["runs"] == run.hash
    assert (first["state"], second["state"]) == ("running", "running")
    assert before == 6 * run.steps


def test_finalists_are_cells_of_fresh_seeds_that_predict_the_test_set(hunt, world):
    make, driver = hunt()
    search = make()
    driver.run(search)
    study, data = world()
    design = build_design(study, search.finalists(), data)
    assert {row.seed for row in design.rows} == {0, 1}
    assert all("predict" not in run.config for run in design.runs.values())
    assert not set(design.runs) & set(driver.begun)


def test_optuna_holds_readable_trials_with_their_curves(hunt):
    make, driver = hunt()
    driver.run(make())
    for row, trial in zip(trials(driver.folder), optuna_trials(driver.folder), strict=True):
        assert trial.user_attrs["runs"] == [f"runs/{name}" for name in row["runs"].split()]
        assert (trial.user_attrs["arm"], trial.user_attrs["trial"]) == ("joint", trial.number)
        assert repr(trial.value) == row["val.auc"]
        assert sorted(trial.intermediate_values) == [1, 2]
        assert trial.intermediate_values[2] == pytest.approx(trial.value)


def test_a_value_is_the_mean_over_seeds_and_folds(hunt):
    make, driver = hunt("trials = 3\ntrial_seeds = [7, 70]", surface=peak())
    driver.run(make())
    for row in trials(driver.folder):
        runs = [RunFolder(driver.path(name)) for name in row["runs"].split()]
        values = [run.record()["validation"]["auc"] for run in runs]
        assert float(row["val.auc"]) == sum(values) / 2
        assert values[0] != values[1]


def test_each_arm_is_a_search_of_its_own_and_others_are_cells(hunt, world):
    more = """
[[arms]]
name = "wide"
set = { strategy = "joint" }
search = { "optim.batch_size" = { low = 4, high = 8, step = 4 } }
[[arms]]
name = "cls"
set = { strategy = "cls" }
"""
    make, driver = hunt("trials = 5", more=more)
    search = make()
    driver.run(search, slots=4)
    counts = Counter(row["arm"] for row in trials(driver.folder))
    assert counts == {"joint": 5, "wide": 5}
    wide = [row for row in trials(driver.folder) if row["arm"] == "wide"]
    assert {row["optim.batch_size"] for row in wide} == {"4", "8"}
    assert {row["optim.lr"] for row in wide} == {""}
    assert [cell.arm for cell in search.finalists()] == ["joint", "wide"]
    assert [cell.arm for cell in expand(world("trials = 5", more=more)[0])] == ["cls"]


def test_only_the_wanted_arms_are_searched(hunt, world):
    more = """
[[arms]]
name = "wide"
set = { strategy = "joint" }
search = { "optim.batch_size" = [4, 8] }
"""
    make, driver = hunt("trials = 3", more=more)
    study, data = world("trials = 3", more=more)
    url = f"sqlite:///{driver.folder / 'optuna.db'}"
    only = Search(study, data, driver.folder, url, retries=2, only=["wide"])
    driver.run(only)
    assert Counter(row["arm"] for row in trials(driver.folder)) == {"wide": 3}
    assert [cell.arm for cell in only.finalists()] == ["wide"]
    driver.run(make())
    assert Counter(row["arm"] for row in trials(driver.folder)) == {"joint": 3, "wide": 3}


def test_equal_runs_are_computed_once(hunt):
    make, driver = hunt("trials = 20", space='"optim.batch_size" = [4, 8]')
    search = make()
    driver.run(search, slots=4)
    assert len(driver.begun) == 2
    assert [row["state"] for row in trials(driver.folder)] == ["complete"] * 20
    assert len(search.finalists()) == 1


def test_the_first_stage_is_shared_and_never_two_at_a_time(hunt):
    space = """
"strategy" = ["sequential", "seg"]
"optim.batch_size" = [4, 8]
"""
    make, driver = hunt('trials = 16\nobjective = "val.dice"', space=space)
    driver.run(make(), slots=4)
    assert max(Counter(driver.begun).values()) == 1
    assert len(driver.begun) == 4


def test_weights_that_are_not_kept_are_made_again_where_a_stage_starts_from_them(hunt):
    space = """
"strategy" = ["seg", "sequential"]
"optim.batch_size" = [4, 8]
"""
    more = """[resources]
keep = "none"
"""
    lines = 'trials = 12\nparallel = 1\nobjective = "val.dice"'
    make, driver = hunt(lines, space=space, more=more)
    driver.run(make())
    rows = trials(driver.folder)
    assert [row["state"] for row in rows] == ["complete"] * 12
    assert {row["strategy"] for row in rows} == {"seg", "sequential"}
    assert not list(driver.folder.glob("runs/*/model.safetensors"))


def test_conditional_keys_stand_only_where_they_hold(hunt):
    make, driver = hunt("trials = 16", space=WIDE)
    driver.run(make(), slots=3)
    for row, trial in zip(trials(driver.folder), optuna_trials(driver.folder), strict=True):
        assert (row["loss.lambda"] == "") == (row["strategy"] == "sequential")
        assert ("loss.lambda" in trial.params) == (row["strategy"] == "joint")
        assert type(trial.params["optim.batch_size"]) is int
    assert {row["strategy"] for row in trials(driver.folder)} == {"joint", "sequential"}


# --- faults ----------------------------------------------------------------------------------


def test_a_failed_run_fails_its_trial_and_the_search_goes_on(hunt):
    make, driver = hunt("trials = 8")
    lost = make().next().hash
    failures = driver.run(make(), fails=[lost])
    states = Counter(row["state"] for row in trials(driver.folder))
    assert states == {"failed": 1, "complete": 7}
    assert failures == {lost: "RuntimeError: planted"}
    assert make().failures == failures
    assert optuna_trials(driver.folder)[0].state.name == "FAIL"


def test_a_forgiven_run_gets_its_trial_another_chance(hunt):
    make, driver = hunt("trials = 8")
    lost = make().next().hash
    driver.run(make(), fails=[lost])
    before = [row["loss.lambda"] for row in trials(driver.folder)]
    folder = RunFolder(driver.path(lost))
    folder.write_record(folder.record() | {"state": "interrupted", "failures": 0})
    driver.begun.clear()
    driver.run(make())
    assert driver.begun == [lost]
    assert [row["state"] for row in trials(driver.folder)] == ["complete"] * 8
    assert [row["loss.lambda"] for row in trials(driver.folder)] == before
    assert [t.state.name for t in optuna_trials(driver.folder)] == ["COMPLETE"] * 8


def test_an_arm_all_of_whose_trials_fail_has_no_finalist(hunt):
    make, driver = hunt("trials = 2", surface=lambda config: dict.fromkeys(peak()(config)))
    search = make()
    driver.run(search)
    assert search.finalists() == []
    assert search.failures == {"joint": "none of its 2 trials is complete, so there is no finalist"}


@pytest.mark.parametrize(
    ("search", "space"),
    [
        ("trials = 12", SPACE.replace("0.95", "0.2")),
        ("trials = 12", SPACE.replace('"loss.lambda"', '"optim.weight_decay"')),
        ('trials = 12\nobjective = "val.dice"', SPACE),
        ("trials = 12\ntrial_seeds = [5]", SPACE),
    ],
)
def test_a_search_that_has_begun_refuses_another_space(hunt, search, space):
    make, driver = hunt()
    driver.run(make())
    with pytest.raises(StudyError, match=r"search|seed"):
        hunt(search, space=space)[0]()


def test_a_search_may_grow(hunt):
    make, driver = hunt("trials = 6")
    driver.run(make())
    before = trials(driver.folder)
    make, driver = hunt("trials = 9")
    driver.run(make())
    assert trials(driver.folder)[:6] == before
    assert len(driver.begun) == 3


# --- determinism -----------------------------------------------------------------------------

SAMPLERS = ["tpe", "gp", "nsga2", "nsga3", "qmc", "random"]


def undisturbed(hunt, search, **kwargs):
    make, driver = hunt(search, folder="undisturbed", **kwargs)
    driver.run(make(), slots=1)
    return driver.folder


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_jobs_order_and_kills_change_nothing(hunt, sampler):
    lines = f'sampler = "{sampler}"\ntrials = 22\nparallel = 4'
    expected = fingerprint(undisturbed(hunt, lines))
    make, driver = hunt(lines, folder="disturbed")
    rng = random.Random(SAMPLERS.index(sampler))
    while True:
        try:
            driver.run(make(), slots=8, rng=rng, kill_after=rng.randrange(8, 20))
            break
        except Killed:
            if rng.random() < 0.4:
                (driver.folder / "optuna.db").unlink()
    assert fingerprint(driver.folder) == expected
    assert max(Counter(driver.completed).values()) == 1


@pytest.mark.parametrize("pruner", ["none", "hyperband"])
def test_a_kill_at_any_point_changes_nothing(hunt, pruner):
    lines = f'trials = 8\nparallel = 3\npruner = "{pruner}"'
    expected = fingerprint(undisturbed(hunt, lines, epochs=3))
    for events in range(1, 24, 2):
        make, driver = hunt(lines, folder=f"kill{events}", epochs=3)
        try:
            driver.run(make(), slots=3, rng=random.Random(events), kill_after=events)
        except Killed:
            if events % 3 == 0:
                (driver.folder / "optuna.db").write_text("no database " * 100)
            driver.run(make(), slots=3, rng=random.Random(events))
        assert fingerprint(driver.folder) == expected


class Stop(BaseException):
    """A kill in the middle of a write to Optuna or of trials.csv."""


def test_a_kill_between_any_two_writes_changes_nothing(hunt, monkeypatch):
    lines = "trials = 5\nparallel = 2"
    expected = fingerprint(undisturbed(hunt, lines))
    storage = optuna.storages._cached_storage._CachedStorage
    names = [
        "create_new_trial", "set_trial_param", "set_trial_user_attr", "set_trial_state_values",
        "set_trial_intermediate_value",
    ]  # fmt: skip
    originals = {name: getattr(storage, name) for name in names}
    for point in range(0, 60, 5):
        make, driver = hunt(lines, folder=f"write{point}")
        left = [point]

        def counted(name, left=left):
            def call(*args, **kwargs):
                left[0] -= 1
                if left[0] < 0:
                    raise Stop
                return originals[name](*args, **kwargs)

            return call

        for name in names:
            monkeypatch.setattr(storage, name, counted(name))
        try:
            driver.run(make())
        except Stop:
            monkeypatch.undo()
            driver.run(make())
        monkeypatch.undo()
        assert fingerprint(driver.folder) == expected


def test_trials_of_a_dead_driver_are_taken_over(hunt):
    make, driver = hunt("trials = 8\nparallel = 4")
    with pytest.raises(Killed):
        driver.run(make(), slots=4, kill_after=5)
    before = optuna_trials(driver.folder)
    running = {t.number: t.params for t in before if t.state.name == "RUNNING"}
    assert running
    driver.run(make())
    after = optuna_trials(driver.folder)
    assert {n: after[n].params for n in running} == running
    assert [t.state.name for t in after] == ["COMPLETE"] * 8


# --- pruning ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("pruner", ["median", "hyperband", "wilcoxon", "patient"])
def test_all_samplers_work_with_all_pruners(hunt, sampler, pruner):
    lines = f'sampler = "{sampler}"\npruner = "{pruner}"\ntrials = 14\ntrial_seeds = [5, 6]'
    make, driver = hunt(lines, space=WIDE, epochs=4, url=MEMORY)
    search = make()
    assert driver.run(search, slots=4) == {}
    states = Counter(row["state"] for row in trials(driver.folder))
    assert states["complete"] + states["pruned"] == 14
    assert states["complete"] >= 1


@pytest.mark.parametrize("pruner", ["median", "hyperband", "patient", "wilcoxon"])
def test_pruning_saves_epochs_and_spares_the_best(hunt, pruner):
    seeds = "[4, 5, 6, 7, 8, 9]" if pruner == "wilcoxon" else "[4]"
    lines = f'sampler = "random"\npruner = "{pruner}"\ntrials = 40\ntrial_seeds = {seeds}'
    surface = peak() if pruner != "patient" else peak(0.9)
    make, driver = hunt(lines, epochs=9 if pruner != "wilcoxon" else 1, surface=surface, url=MEMORY)
    if pruner == "patient":  # it waits for a curve that has fallen
        driver.curve = lambda final, f: {
            k: None if v is None else v - 0.1 * f for k, v in final.items()
        }
    search = make()
    driver.run(search, slots=4)
    rows = trials(driver.folder)
    assert [row["state"] for row in rows].count("pruned") >= 8
    values = {}
    for row in rows:
        configs = {"lr": float(row["optim.lr"])}
        stage = [{"cls_weight": float(row["loss.lambda"])}]
        configs["batch_size"] = 16
        values[row["trial"]] = surface({"stages": stage, "optim": configs, "seed": 0})["auc"]
    best = max(values, key=values.get)
    assert [str(cell.trial) for cell in search.finalists()] == [best]


@pytest.mark.parametrize("pruner", ["median", "hyperband", "wilcoxon"])
def test_verdicts_depend_on_no_order(hunt, pruner):
    seeds = "[4, 5, 6, 7, 8, 9]" if pruner == "wilcoxon" else "[4]"
    lines = f'pruner = "{pruner}"\ntrials = 14\ntrial_seeds = {seeds}\nparallel = 3'
    epochs = 1 if pruner == "wilcoxon" else 6
    expected = fingerprint(undisturbed(hunt, lines, epochs=epochs))
    assert b"pruned" in expected[0]
    make, driver = hunt(lines, epochs=epochs, folder="shuffled")
    rng = random.Random(3)
    while True:
        try:
            driver.run(make(), slots=8, rng=rng, kill_after=20)
            break
        except Killed:
            if rng.random() < 0.5:
                (driver.folder / "optuna.db").unlink()
    assert fingerprint(driver.folder) == expected


def test_the_median_pruner_prunes_what_optuna_used_by_hand_prunes(hunt):
    lines = 'sampler = "random"\npruner = "median"\ntrials = 30\nparallel = 1'
    make, driver = hunt(lines, epochs=5, url=MEMORY)
    driver.run(make())
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
    for row in trials(driver.folder):
        stage = [{"cls_weight": float(row["loss.lambda"])}]
        optim = {"lr": float(row["optim.lr"]), "batch_size": 16}
        final = peak()({"stages": stage, "optim": optim, "seed": 1000})["auc"]
        trial, state = study.ask(), "complete"
        for epoch in range(1, 6):
            trial.report(final * (0.5 + 0.1 * epoch), epoch)
            if trial.should_prune() and epoch < 5:
                state = "pruned"
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, final)
        assert row["state"] == state


def test_a_pruned_run_that_another_arm_needs_is_computed_again(hunt):
    more = """
[[arms]]
name = "other"
set = { strategy = "joint", "optim.lr" = 1e-3 }
search = { "loss.lambda" = [0.1, 0.3, 0.5, 0.7, 0.9] }
"""
    lines = 'pruner = "median"\ntrials = 25\nsampler = "random"'
    space = '"loss.lambda" = [0.1, 0.3, 0.5, 0.7, 0.9]\n"optim.lr" = [1e-3, 1e-2]'
    make, driver = hunt(lines, space=space, more=more, epochs=5, url=MEMORY)
    search = make()
    driver.run(search, slots=3, rng=random.Random(1))
    states = Counter((row["arm"], row["state"]) for row in trials(driver.folder))
    assert sum(states.values()) == 50
    assert max(Counter(driver.completed).values()) == 1
    for row in trials(driver.folder):
        run = RunFolder(driver.path(row["runs"]))
        assert row["state"] == "pruned" or run.state() == "complete"


# --- two objectives --------------------------------------------------------------------------

TWO = 'objective = ["val.auc", "val.dice"]'


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("pruner", ["none", "median"])
def test_the_front_of_two_objectives_is_that_of_brute_force(hunt, sampler, pruner):
    lines = f'{TWO}\nsampler = "{sampler}"\npruner = "{pruner}"\ntrials = 20\nfinalists = 3'
    make, driver = hunt(lines, url=MEMORY)
    search = make()
    driver.run(search, slots=4)
    complete = [row for row in trials(driver.folder) if row["state"] == "complete"]
    points = [(float(row["val.auc"]), float(row["val.dice"])) for row in complete]
    front = {
        row["trial"]
        for row, p in zip(complete, points, strict=True)
        if not any(q != p and q[0] >= p[0] and q[1] >= p[1] for q in points)
    }
    with (driver.folder / "pareto.csv").open(newline="") as stream:
        assert {row["trial"] for row in csv.DictReader(stream)} == front
    chosen = [str(cell.trial) for cell in search.finalists()]
    assert set(chosen) <= front
    assert len(chosen) == min(3, len(front))
    worst = tuple(min(column) for column in zip(*points, strict=True))
    single = {
        row["trial"]: hypervolume([p], worst) for row, p in zip(complete, points, strict=True)
    }
    assert single[chosen[0]] == max(single.values())


def test_two_objectives_prune_below_both_medians_only(hunt):
    lines = f'{TWO}\nsampler = "random"\npruner = "median"\ntrials = 40\nparallel = 1'
    make, driver = hunt(lines, epochs=4, url=MEMORY)
    driver.run(make())
    curves, surface = [], peak()
    for row in trials(driver.folder):
        stage = [{"cls_weight": float(row["loss.lambda"])}]
        optim = {"lr": float(row["optim.lr"]), "batch_size": 16}
        final = surface({"stages": stage, "optim": optim, "seed": 1000})
        curve = [[final[m] * (0.5 + 0.125 * e) for m in ("auc", "dice")] for e in range(1, 5)]
        pruned = any(
            len(curves) >= 5
            and all(
                curve[e][m] < optuna.pruners._percentile.np.median([c[e][m] for c in curves])
                for m in (0, 1)
            )
            for e in range(3)
        )
        assert row["state"] == ("pruned" if pruned else "complete")
        curves += [] if pruned else [curve]
    assert 5 <= len(curves) <= 35


def test_hypervolume_is_the_area_counted_by_points():
    rng = random.Random(0)
    points = [(rng.random(), rng.random()) for _ in range(6)]
    n = 400
    inside = sum(
        any(x > (i + 0.5) / n and y > (j + 0.5) / n for x, y in points)
        for i in range(n)
        for j in range(n)
    )
    assert hypervolume(points, (0.0, 0.0)) == pytest.approx(inside / n**2, abs=5e-3)


# --- as good as Optuna by hand ---------------------------------------------------------------


def by_hand(sampler, surface, trials, parallel):
    """The best value that Optuna finds when it is asked and told by hand."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(direction="maximize", sampler=sampler)
        waiting = []
        for _ in range(trials):
            trial = study.ask()
            lambda_ = trial.suggest_float("loss.lambda", 0.05, 0.95)
            lr = trial.suggest_float("optim.lr", 1e-4, 1e-1, log=True)
            config = {"stages": [{"cls_weight": lambda_}], "seed": 1000}
            value = surface(config | {"optim": {"lr": lr, "batch_size": 16}})["auc"]
            waiting.append((trial, value))
            if len(waiting) == parallel:
                study.tell(*waiting.pop(0))
        for trial, value in waiting:
            study.tell(trial, value)
    return study.best_value


@pytest.mark.parametrize(("name", "surfaces", "trials_"), [("tpe", 24, 40), ("gp", 6, 20)])
def test_the_optimum_is_found_as_often_as_by_hand(hunt, name, surfaces, trials_):
    samplers = {
        "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True),
        "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
    }
    ours, theirs = [], []
    for number in range(surfaces):
        rng = random.Random(number)
        surface = peak(rng.uniform(0.1, 0.9), rng.uniform(-3.8, -1.2))
        lines = f'sampler = "{name}"\ntrials = {trials_}\nseed = {number}'
        make, driver = hunt(lines, surface=surface, folder=f"{name}{number}", url=MEMORY, epochs=1)
        search = make()
        driver.run(search, slots=4, rng=rng)
        [best] = search.finalists()
        ours.append(max(float(r["val.auc"]) for r in trials(driver.folder) if r["val.auc"]))
        theirs.append(by_hand(samplers[name](number), surface, trials_, parallel=4))
        assert best.trial is not None
    near = 0.998  # the optimum is 0.99884
    found, found_by_hand = (sum(value > near for value in v) for v in (ours, theirs))
    print(f"{name}: {found} of {surfaces}, by hand {found_by_hand}", sum(ours) - sum(theirs))
    assert found >= found_by_hand - max(2, surfaces // 6)
