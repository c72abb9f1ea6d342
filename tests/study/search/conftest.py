"""Searches driven without training: runs end in any order, with values of a planted surface."""

import csv
import json
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import sqlalchemy

from mtlbench.config import load_study
from mtlbench.records import RunFolder, write_csv
from mtlbench.study.cells import expand
from mtlbench.study.data import load_data
from mtlbench.study.search import arm as arm_search
from mtlbench.study.search.agenda import Search
from mtlbench.training.loop import HISTORY

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
SPACES = {
    "narrow": """
"loss.lambda" = { low = 0.05, high = 0.95 }
"optim.lr" = { low = 1e-4, high = 1e-1, log = true }
""",
    "wide": """
"strategy" = ["joint", "sequential"]
"loss.lambda" = { low = 0.05, high = 0.95, when = { strategy = "joint" } }
"optim.batch_size" = { low = 4, high = 8, step = 4 }
"model.output_stride" = [8, 16]
""",
}


class Killed(Exception):
    """The driver is gone."""


class FakeDriver:
    """Computes what a search asks for; counts how often each run is begun and is complete."""

    Killed = Killed

    def __init__(self, folder: Path, surface: Callable[[dict], dict]):
        self.folder, self.surface = folder, surface
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
        names = ("model.safetensors", "predictions.csv")
        for name in names:
            (path / name).write_text("")
        files = RunFolder(path).describe(names)
        self.record(path, {"state": "complete", "files": files, "validation": final})
        self.completed.append(run.hash)

    def curve(self, final, fraction):
        return {k: None if v is None else v * (0.5 + 0.5 * fraction) for k, v in final.items()}

    def record(self, path, record):
        (path / "record.json").write_text(json.dumps(record))

    def trials(self):
        """The rows of trials.csv."""
        with (self.folder / "trials.csv").open(newline="") as stream:
            return list(csv.DictReader(stream))

    def optuna_trials(self, arm="joint"):
        """What Optuna holds of an arm."""
        return optuna.load_study(
            study_name=f"hunt/{arm}", storage=f"sqlite:///{self.folder / 'optuna.db'}"
        ).get_trials()

    def fingerprint(self):
        """What must be the same to the bit: the file, and what Optuna holds."""
        told = [
            (t.number, t.state, t.params, t.values, t.intermediate_values, t.user_attrs)
            for t in self.optuna_trials()
        ]
        return (self.folder / "trials.csv").read_bytes(), told


def peaked(lambda_=0.3, log_lr=-2.5):
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


@pytest.fixture(scope="session")
def peak():
    """Make planted surfaces."""
    return peaked


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

    def make(search="trials = 12", space="narrow", more="", epochs=2):
        space = SPACES.get(space, space)
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

    def open_in_memory(url, name, directions, fits, folder):
        return optuna.create_study(study_name=name, directions=directions)

    def make(*args, surface=None, folder="results", in_memory=False, **kwargs):
        study, data = world(*args, **kwargs)
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        if in_memory:  # where nothing is killed: ten times as fast
            monkeypatch.setattr(arm_search, "open_study", open_in_memory)
        if not (root / "study.toml").exists():
            shutil.copy(tmp_path / "hunt.toml", root / "study.toml")

        def open_search(**options):
            search = Search(study, data, root, **options)
            search.open(f"sqlite:///{root / 'optuna.db'}")
            return search

        return open_search, FakeDriver(root, surface or peaked())

    return make


@pytest.fixture
def undisturbed(hunt):
    """Give the fingerprint of a search that nothing disturbs."""

    def run(search, **kwargs):
        make, driver = hunt(search, folder="undisturbed", **kwargs)
        driver.run(make())
        return driver.fingerprint()

    return run
