import json
import shutil

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from scipy.stats import f as f_distribution

from mtlbench.errors import DataError
from mtlbench.report import build, builder
from mtlbench.report.collect import read_study
from mtlbench.report.figures import importances as figure
from mtlbench.report.figures.style import styled
from mtlbench.report.importance import importance_table, importances


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr(builder, "draw_all", lambda *_, **__: [])


def validation(study, metric):
    """A metric by λ and seed, read without the report's code."""
    cells = pd.read_csv(study / "cells.csv")
    joint = cells[cells["arm"] == "joint"]
    records = [json.loads((study / "runs" / h / "record.json").read_text()) for h in joint["hash"]]
    values = joint.assign(value=[record["validation"][metric] for record in records])
    return values.pivot(index="loss.lambda", columns="seed", values="value").to_numpy()


def set_validation(study, change):
    for row in pd.read_csv(study / "cells.csv").itertuples():
        path = study / "runs" / row.hash / "record.json"
        record = json.loads(path.read_text())
        record["validation"] |= change(row)
        path.write_text(json.dumps(record))


@pytest.mark.parametrize("metric", ["auc", "dice", "dice_lesions", "dice_any"])
def test_a_sweep_is_an_anova_in_blocks_of_seeds(sweep_report, metric):
    """Against the closed form of a randomised block design."""
    y = validation(sweep_report.parent, metric)
    rest = y - y.mean(axis=1, keepdims=True) - y.mean(axis=0) + y.mean()
    error = (rest**2).sum() / 3
    between = 2 * ((y.mean(axis=1) - y.mean()) ** 2).sum()
    total = ((y - y.mean()) ** 2).sum()
    table = pd.read_csv(sweep_report / "importances.csv").set_index(["metric", "factor"])
    row = table.loc[(metric, "loss.lambda")]
    assert row["importance"] == pytest.approx(max((between - 3 * error) / (total + error), 0))
    assert row["p"] == pytest.approx(f_distribution.sf(between / 3 / error, 3, 3))
    assert (row["arm"], row["n"]) == ("joint", 8)
    assert row["method"] == "ω², one-way ANOVA, type II, seed as block"
    assert (metric, "seed") in table.index


def test_it_stands_in_the_tables_and_figures(sweep_report, arms_report):
    share = pd.read_csv(sweep_report / "importances.csv").loc[0, "importance"]
    for name in ("table.md", "index.html", "table.tex"):
        page = (sweep_report / name).read_text()
        assert "What mattered (validation)" in page
        assert f"{100 * share:.1f}" in page
        assert "What mattered" not in (arms_report / name).read_text()
    assert 'id="figure-importances"' in (sweep_report / "index.html").read_text()
    for kind in ("pdf", "svg", "png"):
        assert (sweep_report / f"figures/importances.{kind}").stat().st_size
    assert not (arms_report / "importances.csv").exists()


def crossed(study):
    """The arms `joint` and `seg` over the same values of λ, each with runs of its own."""
    path = study / "cells.csv"
    cells = pd.read_csv(path, dtype=str, keep_default_na=False)
    joint = cells[cells["arm"] == "joint"]
    cells = pd.concat([joint, joint.assign(arm="seg", cell="seg" + joint["cell"].str[5:])])
    names = [f"{number:016x}" for number in range(len(cells))]
    for name, old in zip(names, cells["hash"], strict=True):
        shutil.copytree(study / "runs" / old, study / "runs" / name)
    cells.assign(hash=names).to_csv(path, index=False)
    toml = (study / "study.toml").read_text()
    vary = 'vary = { "loss.lambda" = [0.1, 0.3, 0.5, 0.9] }\n'
    name = '[[arms]]\nname = "joint"'
    (study / "study.toml").write_text(toml.replace(name, f"{vary}{name}"))


def test_arms_of_the_same_grid_are_a_factor(sweep_study):
    """AUC of `joint` alone; Dice planted as 0.1 for the arm and its interaction with λ."""
    crossed(sweep_study)
    noise = np.random.default_rng(0)

    def plant(row):
        seg = row.arm == "seg"
        interaction = seg * (row._3 > 0.4)
        dice = 0.3 + 0.1 * seg + 0.1 * interaction + noise.normal(0, 0.01)
        return {"dice": dice, "auc": None if seg else 0.7 + noise.normal(0, 0.01)}

    set_validation(sweep_study, plant)
    table = importances(read_study(sweep_study)).set_index(["metric", "factor"])
    assert set(table.loc["auc"].index) == {"loss.lambda", "seed"}
    assert set(table.loc["auc", "arm"]) == {"joint"}
    dice = table.loc["dice"]
    assert list(dice.index) == ["arm", "loss.lambda", "arm × loss.lambda", "seed"]
    assert set(dice["arm"]) == {"seg and joint"}
    assert dice["importance"].idxmax() == "arm"
    assert (dice["p"].drop("seed") < 0.01).all()
    assert set(dice["n"]) == {16}


def test_one_seed_says_why_nothing_is_measured(sweep_study, no_figures):
    path = sweep_study / "cells.csv"
    cells = pd.read_csv(path, dtype=str, keep_default_na=False)
    cells[cells["seed"] == "0"].to_csv(path, index=False)
    report = build(sweep_study)
    table = pd.read_csv(report / "importances.csv")
    assert table["importance"].isna().all()
    page = (report / "table.md").read_text()
    assert "too few degrees of freedom: 4 runs leave none for the error" in page
    with styled():
        assert list(figure.draw(read_study(sweep_study))) == []


def test_folds_and_seeds_make_one_block(sweep_study):
    path = sweep_study / "cells.csv"
    cells = pd.read_csv(path, dtype=str, keep_default_na=False)
    cells.assign(fold=cells["seed"], seed="0").to_csv(path, index=False)
    table = importances(read_study(sweep_study))
    assert set(table["factor"]) == {"loss.lambda", "seed and fold"}
    assert set(table["df"][table["factor"] == "seed and fold"]) == {1}


SEARCH = """metric,arm,factor,importance,method,n
val.auc,joint,loss.lambda,0.62,fANOVA,40
val.auc,joint,=optim.lr,,fANOVA,9
"""


def test_a_searchs_own_values_are_shown_instead(sweep_study, no_figures):
    (sweep_study / "importances.csv").write_text(SEARCH)
    report = build(sweep_study)
    table = pd.read_csv(report / "importances.csv")
    assert table["importance"].tolist() == [0.62, pytest.approx(np.nan, nan_ok=True)]
    assert table["factor"].tolist() == ["loss.lambda", "'=optim.lr"]
    page = (report / "table.md").read_text()
    assert "### AUC of joint" in page
    assert "| λ | 62.0 | – | 40 |" in page
    assert "| learning rate | – | – | 9 |" in page
    assert "(fANOVA)" in page
    assert "F test" not in page


def test_pruned_trials_are_said_to_be_left_out_and_what_that_does(search_study, no_figures):
    (search_study / "importances.csv").write_text(SEARCH)
    study = read_study(search_study)
    (drawn,) = figure.draw(study)
    notes = importance_table(study, importances(study)).notes
    for told in (drawn.caption, notes[-1]):
        assert "left out (joint: 1 of 12)" in told
        assert "a key that makes a trial poor counts for less than it matters" in told


@pytest.mark.parametrize(
    ("key", "words"), [("loss.class_weights", "class weights"), ("optim.lr", "learning rate")]
)
def test_factors_are_named_in_words(search_study, key, words):
    rows = SEARCH.replace("loss.lambda", key)
    (search_study / "importances.csv").write_text(rows)
    (drawn,) = figure.draw(read_study(search_study))
    labels = [tick.get_text() for tick in drawn.figure.axes[0].get_yticklabels()]
    assert labels == [words]


def test_a_search_without_pruning_leaves_nothing_out(search_study):
    path = search_study / "trials.csv"
    path.write_text(path.read_text().replace("pruned", "failed"))
    (search_study / "importances.csv").write_text(SEARCH)
    study = read_study(search_study)
    assert "left out" not in "".join(importance_table(study, importances(study)).notes)


@pytest.mark.parametrize("wrong", ["a,b\n", SEARCH.replace("0.62", "much"), "\x00"])
def test_a_bad_file_of_a_search_is_one_line_with_its_path(sweep_study, wrong):
    (sweep_study / "importances.csv").write_text(wrong)
    with pytest.raises(DataError, match=r"sweep/importances\.csv: "):
        build(sweep_study)


def test_bars_are_the_shares_and_hollow_where_p_is_large(sweep_study):
    noise = np.random.default_rng(0)
    set_validation(
        sweep_study,
        lambda row: {
            "auc": 0.5 + 0.4 * (row._3 if row._3 == row._3 else 0) + noise.normal(0, 0.01)
        },
    )
    study = read_study(sweep_study)
    table = importances(study)
    with styled():
        (drawn,) = figure.draw(study)
        drawn.figure.draw_without_rendering()
    axis = drawn.figure.axes[0]
    assert axis.get_xlabel().replace("\n", " ") == "Share of variance in validation AUC (%)"
    assert axis.get_xlim() == (0, 100)
    for text in axis.texts:
        assert text.get_window_extent().x1 <= axis.get_window_extent().x1
    auc = table[table["metric"] == "auc"]
    widths = [patch.get_width() for patch in axis.patches]
    assert widths == pytest.approx(list(100 * auc["importance"]))
    filled = [patch.get_facecolor()[:3] != (1, 1, 1) for patch in axis.patches]
    assert filled == list(auc["p"] < 0.05)
    assert filled[0]
    texts = [text for text in drawn.figure.findobj(Text) if text.get_text()]
    assert min(text.get_fontsize() for text in texts) >= 7
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["λ", "seed"]
    assert "ω², one-way ANOVA" in drawn.caption
    assert importance_table(study, table).blocks[0].title == "AUC of joint"
