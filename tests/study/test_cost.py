import pytest

from mtlbench.config import load_study
from mtlbench.records import RunFolder, write_csv
from mtlbench.study import cost
from mtlbench.study.cells import expand
from mtlbench.study.data import load_data
from mtlbench.study.design import build_design

STEP_S = 0.04
"""Of the calibration's two cases: 0.02 s a case."""
SEARCHED = (
    ('name = "tiny"', 'name = "tiny"\nkind = "search"'),
    ("[budget]", "[search]\ntrials = 5\ntrial_seeds = [7, 8]\nfinalists = 2\n[budget]"),
    (
        'strategy = "joint" }',
        'strategy = "joint" }\n[arms.search]\n"loss.lambda" = [0.1, 0.2]\n'
        '"optim.batch_size" = { low = 4, high = 12, step = 4 }',
    ),
)


@pytest.fixture
def estimated(study_file, tmp_path, monkeypatch):
    """Estimate the tiny study with replacements; give the seconds, those of a run, its design.

    A run: two epochs of whole batches of 8, and the last one's validation, a third of a step each.
    """
    monkeypatch.setattr(cost, "step_s", lambda config, size, cases, device: STEP_S)

    def estimate(*replacements):
        study = load_study(study_file(*replacements))
        data = load_data(study, {})
        design = build_design(study, expand(study), data)
        seconds = cost.estimate_s(study, data, design, tmp_path / "results", "cpu")
        train, val = ((data.cases["split"] == name).sum() for name in ("train", "val"))
        steps_s = 2 * (train // 8) * 8 * 0.02
        return seconds, steps_s * (1 + val / 3 / (2 * train)), design

    return estimate


def test_what_is_left_of_an_ablation(estimated, tmp_path):
    seconds, own_s, design = estimated()
    assert seconds == pytest.approx(8 * own_s)
    name, run = next(iter(design.runs.items()))
    RunFolder(tmp_path / "results" / "runs" / name).path.mkdir(parents=True)
    RunFolder(tmp_path / "results" / "runs" / name).write_record(
        {"state": "complete", "files": {}, "wall_s": 3 * own_s, "steps": run.steps}
    )
    # This run of cls took three times as long; so will the other, and those that end sequential.
    assert estimated()[0] == pytest.approx((3 + 2 * 3 + 4) * own_s)


def test_a_search_is_its_trials_and_finalists_at_the_middle_of_its_space(estimated, tmp_path):
    seconds, own_s, _ = estimated(*SEARCHED)  # 8 is the middle of 4, 8 and 12
    trials, finalists, others = 5 * 2, 2 * 2, 3 * 2
    assert seconds == pytest.approx((trials + finalists + others) * own_s)

    states = ["complete", "pruned", "running"]
    rows = [{"arm": "joint", "state": state} for state in states]
    write_csv(tmp_path / "results" / "trials.csv", ["arm", "state"], rows)
    assert estimated(*SEARCHED)[0] == pytest.approx((3 * 2 + finalists + others) * own_s)

    states = ["complete"] * 5
    rows = [{"arm": "joint", "state": state} for state in states]
    write_csv(tmp_path / "results" / "trials.csv", ["arm", "state"], rows)
    cells = [{"arm": "joint", "hash": "a"}, {"arm": "joint", "hash": "b"}]
    write_csv(tmp_path / "results" / "cells.csv", ["arm", "hash"], cells)
    done = RunFolder(tmp_path / "results" / "runs" / "a")
    done.path.mkdir(parents=True)
    done.write_record({"state": "complete", "files": {}})
    assert estimated(*SEARCHED)[0] == pytest.approx((finalists - 1 + others) * own_s)
