import pandas as pd
import pytest

from mtlbench.report import build
from mtlbench.report.collect import read_study
from mtlbench.report.numbers import measure


@pytest.fixture
def twin(arms_study):
    """Add an arm that says what another does, under another name; its runs are the same."""

    def add(name, arm):
        cells = pd.read_csv(arms_study / "cells.csv", dtype=str, keep_default_na=False)
        same = cells[cells["arm"] == arm].assign(cell=name, arm=name)
        pd.concat([same, cells]).to_csv(arms_study / "cells.csv", index=False)
        toml = (arms_study / "study.toml").read_text()
        arms = f'[[arms]]\nname = "{name}"\nset = {{ strategy = "{arm}" }}\n'
        first = toml.index("[[arms]]")
        (arms_study / "study.toml").write_text(toml[:first] + arms + toml[first:])
        return arms_study

    return add


def p_values(study, cell, metric):
    row = measure(read_study(study)).comparison[cell, metric]
    return row["p"], row["p_adjusted"]


def test_cells_of_the_same_runs_are_one_hypothesis(twin, arms_study):
    alone = {arm: p_values(arms_study, arm, "auc") for arm in ("sequential", "joint")}
    study = twin("again", "joint")
    assert {arm: p_values(study, arm, "auc") for arm in alone} == alone
    assert p_values(study, "again", "auc") == alone["joint"]
    ps = sorted(p for p, _ in alone.values())  # Holm's 1979 steps, of two tests
    assert sorted(p for _, p in alone.values()) == pytest.approx([2 * ps[0], max(2 * ps[0], ps[1])])


def test_what_holds_for_one_is_told_of_both(twin):
    study = twin("again", "joint")
    numbers = measure(read_study(study))
    for metric in numbers.metrics():
        one, other = (dict(numbers.estimate[cell, metric]) for cell in ("joint", "again"))
        assert one | {"cell": "again", "arm": "again"} == other
        seeds = [numbers.seeds[cell, metric] for cell in ("joint", "again")]
        assert seeds[0] == seeds[1]
    assert set(numbers.estimates["cell"]) == {"again", "cls", "seg", "sequential", "joint"}


@pytest.mark.usefixtures("no_figures")
def test_a_cell_with_the_runs_of_the_baseline_is_one_too(twin, arms_study):
    alone = p_values(arms_study, "joint", "auc")
    study = twin("plain", "cls")  # it stands before the baseline
    assert p_values(study, "joint", "auc") == alone
    numbers = measure(read_study(study))
    assert ("plain", "auc") not in numbers.comparison
    assert set(numbers.comparisons.query("metric == 'auc'")["baseline"]) == {"cls"}
    text = (build(study) / "table.md").read_text()
    assert "plain and cls have the same runs: one hypothesis, counted once." in text
    auc = text.split("## All cells")[1].split("### AUC")[1].split("###")[0]
    rows = [line.split("|") for line in auc.splitlines() if line.startswith("| ")]
    deltas = {row[1].strip(): row[3].strip() for row in rows}
    assert deltas["plain"] == deltas["cls"] == "baseline"
