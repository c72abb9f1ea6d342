import itertools
import json

import pandas as pd
import pytest

from mtlbench.report import build
from mtlbench.report.collect import read_study, short_value
from mtlbench.report.figures import trials
from mtlbench.report.figures.style import styled


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(("metric", "name"), [("auc", "AUC"), ("dice_lesions", "Lesion Dice")])
def test_luck_and_optimism_of_a_search_are_of_one_configuration(search_study, metric, name):
    report = build(search_study)
    text = (report / "table.md").read_text().replace("\\", "")
    assert (
        "joint: 12 configurations were searched on validation data (11 complete, 1 pruned)" in text
    )

    cells = pd.read_csv(search_study / "cells.csv").query("arm == 'joint'")
    records = [search_study / "runs" / name / "record.json" for name in cells["hash"]]
    found = [json.loads(path.read_text())["validation"] for path in records]
    again = cells.assign(auc=[v["auc"] for v in found], value=[v[metric] for v in found])
    again = again.groupby("cell")[["auc", "value"]].mean()
    cell = again["auc"].idxmax()
    tried = pd.read_csv(search_study / "trials.csv").set_index("trial")[f"val.{metric}"]
    estimates = pd.read_csv(report / "estimates.csv").set_index(["cell", "metric"])["value"]
    of_trial = tried[int(cell.removeprefix("joint [trial ").removesuffix("]"))]
    assert of_trial < tried.max(), "else the best trial's value could stand for it"
    fresh, test = again.loc[cell, "value"], estimates[cell, metric]

    def signed(value):
        return f"{100 * value:+.1f}".replace("-", "−")

    assert (
        f"{name} of {cell}: {100 * of_trial:.1f} in the search, {100 * fresh:.1f} with fresh seeds "
        f"on the same validation patients (the search’s luck: {signed(of_trial - fresh)} points), "
        f"{100 * test:.1f} on the test patients (optimism: {signed(fresh - test)} points)."
    ) in text
    table = text.split("## Optimism")[1].split(f"### {name}\n")[1]
    row = next(line for line in table.splitlines() if line.startswith(f"| {cell}"))
    assert row.split("|")[4].strip() == signed(fresh - test)


@pytest.mark.usefixtures("no_figures")
def test_a_finalist_has_one_name_and_its_values_are_told_once(search_study):
    report = build(search_study)
    text = (report / "table.md").read_text().replace("\\", "")
    assert "| joint [trial 7]" in text
    assert "joint [λ" not in text
    assert text.count("joint [trial 7] (λ=") == 2, "in the notes of both tables"


def test_numbers_below_a_logarithmic_axis_do_not_touch(search_study):
    with styled():
        (drawn,) = trials.draw(read_study(search_study))
        drawn.figure.draw_without_rendering()
    logarithmic = [axis for axis in drawn.figure.axes if axis.get_xscale() == "log"]
    assert len(logarithmic) >= 4, "two keys under two objectives"
    for axis in logarithmic:
        low, high = axis.get_xlim()
        labels = [
            label.get_window_extent()
            for label in axis.get_xticklabels()
            if label.get_text() and low <= label.get_position()[0] <= high
        ]
        assert len(labels) >= 2
        assert all(a.x1 < b.x0 for a, b in itertools.pairwise(labels))


def test_finalists_are_the_filled_points(search_study):
    (drawn,) = trials.draw(read_study(search_study))
    assert set(drawn.data.loc[drawn.data["finalist"], "trial"]) == {"2", "5", "7", "11"}


def test_an_ablation_has_nothing_of_it(arms_report):
    assert "searched" not in (arms_report / "table.md").read_text()
    assert not list((arms_report / "figures").glob("trials*"))


def test_a_search_has_a_figure_of_its_trials_and_none_of_a_sweep(search_study):
    figures = build(search_study, images=False) / "figures"
    assert (figures / "trials_joint.svg").is_file()
    assert not list(figures.glob("sweep*"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0.47540774013067055", "0.4754"),
        ("0.5", "0.5"),
        ("1e-05", "1e-05"),
        ("16", "16"),
        ("resnet18", "resnet18"),
    ],
)
def test_drawn_numbers_are_shown_to_four_digits(value, shown):
    assert short_value(value) == shown
