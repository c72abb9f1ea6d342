"""A results folder made with numpy alone: scores, counts, histories and panels of a fake study."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mtlbench.config import SCHEMA
from mtlbench.records import RunFolder, digest, write_csv, write_json
from mtlbench.report import build, builder
from mtlbench.training.findings import CANDIDATES, LESIONS

COUNTS = [f"{kind}_{k}" for kind in ("true", "pred", "both") for k in range(5)]
HEAD = """name = "{name}"
dataset = "phantom"
seeds = {seeds}
baseline = {{ auc = "cls", dice = "seg" }}
[data]
size = [64, 48]
[budget]
rule = "per-stage"
epochs = 6
[compare]
resamples = 200
published = ["le2019-table1"]
{compare}
"""
ARM = '[[arms]]\nname = "{name}"\nset = {{ strategy = "{strategy}" }}\n'
FILES = ("predictions.csv", "history.csv", "lesions.csv", "candidates.csv", "panels.npz")
QUALITY = {"cls": 0.9, "seg": 0.5, "sequential": 1.1, "joint": 1.6}
"""Shift of the positives' scores; the segmentation grows with it."""
STAGES = {
    "cls": [("cls", 1.0)],
    "seg": [("seg", 0.0)],
    "sequential": [("seg", 0.0), ("cls", 1.0)],
    "joint": [("joint", 0.5)],
}


def make_cases(rng, patients=60):
    """Two images a patient; benign and malignant lesions of every class, and normals."""
    rows = []
    for patient in range(patients):
        kind = int(rng.choice(5, p=[0.3, 0.2, 0.25, 0.1, 0.15]))
        split = ("test", "test", "val")[patient % 3]
        for view in ("CC", "MLO"):
            name = f"P{patient:03d}_{view}"
            area = int(rng.integers(30, 120)) * (kind > 0)
            rows.append((name, f"P{patient:03d}", split, int(kind in (2, 4)), kind, area))
    return pd.DataFrame(rows, columns=["image_id", "patient_id", "split", "label", "kind", "area"])


def predict(cases, strategy, rng, quality):
    """Predictions as a run writes them: scores where it classifies, counts where it segments."""
    n = len(cases)
    true = np.zeros((n, 5), dtype=int)
    lesion = cases["area"].to_numpy()
    true[np.arange(n), cases["kind"]] = lesion
    true[:, 0] = 3072 - lesion
    share = np.clip(rng.normal(0.25 + 0.2 * quality, 0.15, n), 0, 1)
    both = np.zeros_like(true)
    both[np.arange(n), cases["kind"]] = (lesion * share).astype(int)
    pred = both + rng.integers(0, 12, (n, 5))
    both[:, 0] = true[:, 0] - pred[:, 1:].sum(axis=1) + both[:, 1:].sum(axis=1)
    pred[:, 0] = 3072 - pred[:, 1:].sum(axis=1)
    frame = cases[["image_id", "patient_id", "split", "label"]].copy()
    logit = rng.normal(0, 1, n) + quality * cases["label"]
    frame["score"] = 1 / (1 + np.exp(-logit)) if strategy != "seg" else np.nan
    if strategy == "cls":
        return frame.assign(**dict.fromkeys(COUNTS))
    frame[COUNTS] = np.hstack([true, pred, both])
    return frame


def make_findings(cases, frame, strategy, rng):
    """A lesion a case that has one, hit where half of it is; at most one false candidate a case."""
    shown = cases[cases["area"] > 0]
    lesions = pd.DataFrame({"image_id": shown["image_id"], "lesion": 1, "class": shown["kind"]})
    lesions["area_mm2"] = shown["area"] / 4
    if strategy == "cls":
        return lesions.reindex(columns=LESIONS), pd.DataFrame(columns=CANDIDATES)
    both = frame.loc[shown.index, [f"both_{k}" for k in range(1, 5)]].sum(axis=1)
    lesions["hit"] = (both >= shown["area"] / 2).astype(int)
    lesions["score"] = np.where(lesions["hit"], rng.uniform(0.4, 1, len(shown)).round(6), np.nan)
    found = lesions.loc[lesions["hit"] == 1, ["image_id", "class", "score", "hit"]]
    false = cases.loc[rng.random(len(cases)) < 0.7, ["image_id"]]
    score = rng.uniform(0.2, 0.8, len(false)).round(6)
    candidates = pd.concat([found, false.assign(**{"class": 1, "score": score, "hit": 0})])
    return lesions[list(LESIONS)], candidates[list(CANDIDATES)]


def make_history(strategy, rng, quality, epochs=6):
    t = np.linspace(0.2, 1, epochs)

    def noisy(values):
        return values + rng.normal(0, 0.01, epochs)

    cls = noisy(0.7 - 0.2 * t * quality) if strategy != "seg" else np.nan
    seg = noisy(1.0 - 0.5 * t) if strategy in ("seg", "joint") else np.nan
    segments = strategy != "cls"
    return pd.DataFrame(
        {
            "stage": {"sequential": "cls"}.get(strategy, strategy),
            "epoch": range(1, epochs + 1),
            "step": 10 * np.arange(1, epochs + 1),
            "lr": 1e-3,
            "loss": 1 - 0.5 * t,
            "loss_cls": cls,
            "loss_seg": seg,
            "val_loss_cls": cls + 0.05,
            "val_loss_seg": noisy(1.05 - 0.4 * t) if segments else np.nan,
            "val_auc": noisy(0.5 + 0.2 * t * quality) if strategy != "seg" else np.nan,
            "val_dice": noisy(0.3 + 0.2 * t) if segments else np.nan,
            "val_dice_lesions": noisy(0.1 + 0.2 * t * quality) if segments else np.nan,
            "val_dice_any": noisy(0.2 + 0.2 * t * quality) if segments else np.nan,
        }
    )


def make_panels(cases, strategy, frame, rng):
    """A normal and a cancer case: smooth tissue, a disc as lesion, a shifted disc predicted."""
    rows, columns = np.mgrid[:64, :48]
    breast = columns < 40 * np.sqrt(np.clip(1 - ((rows - 32) / 31) ** 2, 0, 1))
    images, truths, preds, picked = [], [], [], []
    test = cases[cases["split"] == "test"]
    for kind in (0, 2):
        case = test[test["kind"] == kind].iloc[0]
        disc = (rows - 30) ** 2 + (columns - 18) ** 2 <= 49
        moved = (rows - 33) ** 2 + (columns - 20) ** 2 <= 36
        images.append(breast * (90 + 30 * np.sin(rows / 7) + 60 * (disc & (kind > 0))))
        truths.append(disc * kind)
        preds.append(moved * (kind or int(rng.integers(0, 2))))
        picked.append(frame[frame["image_id"] == case["image_id"]].iloc[0])
    panels = {
        "image_id": np.array([row["image_id"] for row in picked]),
        "label": np.array([row["label"] for row in picked]),
        "score": np.array([row["score"] for row in picked], dtype=float),
        "images": np.array(images, dtype=np.uint8),
        "truth": np.array(truths, dtype=np.uint8),
    }
    return panels if strategy == "cls" else panels | {"pred": np.array(preds, dtype=np.uint8)}


def write_run(folder, cases, strategy, seed, quality, starts_from="", weights=""):
    """One complete run folder; returns its hash."""
    config = {
        "schema": SCHEMA,
        "seed": seed,
        "fold": None,
        "threads": 1,
        "model": {
            "backbone": "resnet18",
            "output_stride": 32,
            "pooling": "mean",
            "weights": weights,
        },
        "optim": {
            "lr": 0.001,
            "weight_decay": 0.01,
            "batch_size": 16,
            "warmup": 0.1,
            "select": "last",
        },
        "stages": [
            {"name": name, "cls_weight": weight, "seg_weight": 1 - weight, "steps": 60}
            for name, weight in STAGES[strategy]
        ],
        "starts_from": starts_from,
        "quality": quality,
    }
    run = RunFolder(folder / "runs" / digest(config))
    run.path.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(int(run.name, 16))
    frame = predict(cases, strategy, rng, quality)
    history = make_history(strategy, rng, quality)
    write_json(run.path / "config.json", config)
    frame.to_csv(run.path / "predictions.csv", index=False)
    history.to_csv(run.path / "history.csv", index=False)
    tables = make_findings(cases, frame, strategy, rng)
    for name, table in zip(("lesions", "candidates"), tables, strict=True):
        table.to_csv(run.path / f"{name}.csv", index=False)
    np.savez(run.path / "panels.npz", **make_panels(cases, strategy, frame, rng))
    last = history.iloc[-1]
    validation = {
        key: None if np.isnan(last[f"val_{key}"]) else float(last[f"val_{key}"])
        for key in ("auc", "dice", "dice_lesions", "dice_any")
    }
    run.write_record(
        {
            "state": "complete",
            "attempts": 1,
            "seed": seed,
            "fold": None,
            "versions": {"mtlbench": "0.1.0", "torch": "2.10.0"},
            "device": "cpu",
            "git_commit": "0123abc",
            "started": "2025-01-01T00:00:00Z",
            "wall_s": 12.5,
            "steps": 60,
            "cases_per_s": 80.0,
            "validation": validation,
            "error": None,
            "files": run.describe(FILES),
        }
    )
    return run.name


def write_shell(folder, toml, cells, cases):
    """The study's own files beside the run folders."""
    (folder / "study.toml").write_text(toml, encoding="utf-8")
    columns = list(dict.fromkeys(key for row in cells for key in row))
    write_csv(folder / "cells.csv", columns, cells)
    write_json(folder / "recipe.json", {"adapter": "phantom", "version": "1", "size": [64, 48]})
    cases.drop(columns=["kind", "area"]).assign(scanner="").to_csv(
        folder / "cases.csv", index=False
    )


def design_row(cell, arm, seed, name, *, starts_from="", steps=60, values=None):
    row = {"cell": cell, "arm": arm, **(values or {}), "seed": seed, "fold": "", "hash": name}
    return row | {"starts_from": starts_from, "steps": steps}


def write_arms_study(folder, seeds=(0, 1), patients=60, compare=""):
    """`cls`, `seg`, `sequential` (from seg's runs) and `joint`."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = make_cases(np.random.default_rng(0), patients)
    cells = []
    for arm, quality in QUALITY.items():
        for seed in seeds:
            start = next((c["hash"] for c in cells if c["cell"] == "seg" and c["seed"] == seed), "")
            start = start if arm == "sequential" else ""
            name = write_run(folder, cases, arm, seed, quality, start)
            steps = 120 if start else 60
            cells.append(design_row(arm, arm, seed, name, starts_from=start, steps=steps))
    arms = "".join(ARM.format(name=arm, strategy=arm) for arm in QUALITY)
    toml = HEAD.format(name=folder.name, seeds=list(seeds), compare=compare) + arms
    write_shell(folder, toml, cells, cases)
    return folder


def write_sweep_study(folder, seeds=(0, 1), choose='choose = "val.auc"'):
    """`cls`, `seg`, and `joint` at four values of λ, of which 0.5 is best."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = make_cases(np.random.default_rng(0))
    cells = []
    for arm in ("cls", "seg"):
        for seed in seeds:
            name = write_run(folder, cases, arm, seed, QUALITY[arm])
            cells.append(design_row(arm, arm, seed, name, values={"loss.lambda": ""}))
    for value in (0.1, 0.3, 0.5, 0.9):
        for seed in seeds:
            name = write_run(folder, cases, "joint", seed, 1.8 - 2 * abs(value - 0.5))
            cell = f"joint [loss.lambda={value}]"
            cells.append(design_row(cell, "joint", seed, name, values={"loss.lambda": value}))
    arms = "".join(ARM.format(name=arm, strategy=arm) for arm in ("cls", "seg", "joint"))
    arms += 'vary = { "loss.lambda" = [0.1, 0.3, 0.5, 0.9] }\n'
    toml = HEAD.format(name=folder.name, seeds=list(seeds), compare=choose) + arms
    write_shell(folder, toml, cells, cases)
    return folder


SPACE = """search = { "loss.lambda" = { low = 0.05, high = 0.95 }, "optim.lr" = { low = 1e-5, \
high = 0.1, log = true }, "optim.weight_decay" = { low = 1e-4, high = 1e-2, log = true }, \
"loss.class_weights" = ["none", "inverse", "median-frequency"] }
""".replace("\\\n", "")
SEARCH = """[search]
trials = 12
finalists = 4
pruner = "median"
objective = ["val.auc", "val.dice_lesions"]
[compare]
"""


def write_search_study(folder):
    """The sweep, as if its four cells of `joint` were finalists of a search of twelve trials."""
    write_sweep_study(folder)
    toml = (folder / "study.toml").read_text().replace('name = "', 'kind = "search"\nname = "', 1)
    toml = toml.replace("[compare]\n", SEARCH, 1)
    (folder / "study.toml").write_text(toml[: toml.index("vary = ")] + SPACE)
    rng = np.random.default_rng(0)
    trials = pd.DataFrame({"arm": "joint", "trial": range(12), "state": "complete"})
    trials["loss.lambda"] = rng.uniform(0.05, 0.95, 12)
    trials["optim.lr"] = np.geomspace(1e-5, 0.09, 12)
    trials["optim.weight_decay"] = np.geomspace(2e-4, 8e-3, 12)
    trials["loss.class_weights"] = rng.choice(["none", "inverse", "median-frequency"], 12)
    trials[["val.auc", "val.dice_lesions"]] = rng.uniform(0.6, 0.9, (12, 2))
    trials.loc[6, "state"] = "pruned"
    trials.loc[6, ["val.auc", "val.dice_lesions"]] = np.nan
    trials.assign(runs="x").to_csv(folder / "trials.csv", index=False)
    cells = pd.read_csv(folder / "cells.csv", dtype=str, keep_default_na=False)
    keys = ["loss.lambda", "optim.lr", "optim.weight_decay", "loss.class_weights"]
    for trial, value in {2: "0.1", 5: "0.3", 7: "0.5", 11: "0.9"}.items():
        rows = cells["loss.lambda"] == value
        cells.loc[rows, "cell"] = f"joint [trial {trial}]"
        cells.loc[rows, keys] = trials.loc[trial, keys].astype(str).to_list()
    columns = ["cell", "arm", *keys, "seed", "fold", "hash", "starts_from", "steps"]
    cells.fillna("")[columns].to_csv(folder / "cells.csv", index=False)
    return folder


def write_named_study(folder, value):
    """One arm at two points of a key that holds free text: a name, and `value`."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = make_cases(np.random.default_rng(0))
    cases["image_id"] = value + cases["image_id"]
    cells = []
    for weights in ("none", value):
        name = write_run(folder, cases, "joint", 0, 1.0, weights=weights)
        cell = f"joint [model.weights={weights}]"
        cells.append(design_row(cell, "joint", 0, name, values={"model.weights": weights}))
    toml = HEAD.format(name=folder.name, seeds=[0], compare="")
    toml = toml.replace('{ auc = "cls", dice = "seg" }', '"joint"')
    arm = ARM.format(name="joint", strategy="joint")
    write_shell(
        folder, toml + arm + f'vary = {{ "model.weights" = ["none", {value!r}] }}\n', cells, cases
    )
    return folder


@pytest.fixture(scope="session")
def written(tmp_path_factory) -> Path:
    """The studies, written once."""
    folder = tmp_path_factory.mktemp("written")
    write_arms_study(folder / "arms")
    write_sweep_study(folder / "sweep")
    write_search_study(folder / "search")
    return folder


def _believe(path):
    """Let the run's record say that the run has written the file as it is now, or has not."""
    run = RunFolder(path.parent)
    if "files" not in run.record():
        return
    others = {name: entry for name, entry in run.record()["files"].items() if name != path.name}
    own = run.describe([path.name]) if path.exists() else {}
    run.write_record(run.record() | {"files": others | own})


@pytest.fixture
def believe():
    return _believe


@pytest.fixture
def arms_study(written, tmp_path) -> Path:
    return shutil.copytree(written / "arms", tmp_path / "arms")


@pytest.fixture
def sweep_study(written, tmp_path) -> Path:
    return shutil.copytree(written / "sweep", tmp_path / "sweep")


@pytest.fixture
def search_study(written, tmp_path) -> Path:
    return shutil.copytree(written / "search", tmp_path / "search")


@pytest.fixture
def named_study(tmp_path):
    """Write a study whose varied value and image ids hold a given text."""
    return lambda value: write_named_study(tmp_path / "named", value)


@pytest.fixture
def patients_study(tmp_path):
    """Write the study of arms with one seed and a given number of patients."""
    return lambda patients: write_arms_study(tmp_path / "arms", seeds=(0,), patients=patients)


@pytest.fixture(scope="session")
def arms_report(written, tmp_path_factory) -> Path:
    """Its report, to be read only; the study is beside it."""
    return build(shutil.copytree(written / "arms", tmp_path_factory.mktemp("built") / "arms"))


@pytest.fixture(scope="session")
def sweep_report(written, tmp_path_factory) -> Path:
    """The same of the sweep."""
    return build(shutil.copytree(written / "sweep", tmp_path_factory.mktemp("built") / "sweep"))


@pytest.fixture
def no_figures(monkeypatch):
    """Draw none: what is tested stands in the tables."""
    monkeypatch.setattr(builder, "draw_all", lambda *_, **__: [])
