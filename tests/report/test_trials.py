import shutil

import pandas as pd
import pytest

from mtlbench.report import build
from mtlbench.report.collect import short_value

SEARCH = """[search]
trials = 4
objective = ["val.auc", "val.dice_lesions"]
[compare]
choose = "val.auc"
"""


@pytest.fixture
def searched(arms_study, tmp_path):
    """The fake study of four arms, with `joint` as the finalist of a search of four trials."""
    folder = tmp_path / "searched"
    shutil.copytree(arms_study, folder)
    toml = (folder / "study.toml").read_text()
    toml = toml.replace('name = "', 'kind = "search"\nname = "', 1)
    toml = toml.replace("[compare]\n", SEARCH, 1)
    space = '{ "optim.lr" = { low = 1e-4, high = 1.0, log = true }, "model.backbone" = ["a", "b"] }'
    old = 'set = { strategy = "joint" }'
    assert old in toml
    (folder / "study.toml").write_text(toml.replace(old, f"{old}\nsearch = {space}"))
    cells = (folder / "cells.csv").read_text()
    (folder / "cells.csv").write_text(cells.replace("joint,joint", "joint [trial 1],joint"))
    trials = pd.DataFrame(
        {
            "arm": "joint",
            "trial": range(4),
            "state": ["complete", "complete", "pruned", "complete"],
            "optim.lr": [0.001, 0.0123456789, 0.5, 0.1],
            "model.backbone": ["a", "b", "a", "a"],
            "val.auc": [0.7, 0.9, None, 0.6],
            "val.dice_lesions": [0.2, 0.1, None, 0.3],
        }
    )
    trials.to_csv(folder / "trials.csv", index=False)
    return folder


def test_the_report_says_what_was_searched_and_how_optimistic_it_was(searched):
    report = build(searched)
    text = (report / "table.md").read_text()
    said = "joint: 4 configurations were searched on validation data (3 complete, 1 pruned)"
    assert said in text
    auc = pd.read_csv(report / "estimates.csv").query("cell == 'joint [trial 1]' & metric == 'auc'")
    test = 100 * auc["value"].item()
    assert f"the best trial’s val.auc is 90.0, the finalist’s test value {test:.1f}" in text
    assert f"{abs(90 - test):.1f} points)" in text
    assert (report / "figures" / "trials_joint.svg").is_file()
    assert not list((report / "figures").glob("sweep*"))


def test_an_ablation_has_nothing_of_it(arms_report):
    assert "searched" not in (arms_report / "table.md").read_text()
    assert not list((arms_report / "figures").glob("trials*"))


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
