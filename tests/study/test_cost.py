from dataclasses import replace

import pytest

from mtlbench.config import load_study
from mtlbench.records import run_folder, write_csv
from mtlbench.study import cost
from mtlbench.study.cells import Cell, expand, resolve
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

    A run: two epochs of whole batches of 8, and the last one's validation, 0.6 of a step each.
    """
    monkeypatch.setattr(cost, "step_s", lambda config, size, cases, device: STEP_S)

    def estimate(*replacements, found=0):
        study = load_study(study_file(*replacements))
        data = load_data(study, {})
        arm = study.arms[-1]
        finalists = [
            Cell(arm.name, {}, resolve(study, arm, {"optim.batch_size": 8, "optim.lr": lr}), trial)
            for trial, lr in enumerate([0.1, 0.2][:found])
        ]
        design = build_design(study, [*expand(study), *finalists], data)
        seconds = cost.estimate_s(study, data, design, tmp_path / "results", "cpu")
        train, val = ((data.cases["split"] == name).sum() for name in ("train", "val"))
        steps_s = 2 * (train // 8) * 8 * 0.02
        return seconds, steps_s * (1 + 0.6 * val / (2 * (train // 8) * 8)), design

    return estimate


def test_what_is_left_of_an_ablation(estimated, complete, tmp_path):
    seconds, own_s, design = estimated()
    assert seconds == pytest.approx(8 * own_s)
    name, run = next(iter(design.runs.items()))
    complete(run_folder(tmp_path / "results", name), wall_s=3 * own_s, steps=run.steps)
    # This run of cls took three times as long; so will the other, and those that end sequential.
    assert estimated()[0] == pytest.approx((3 + 2 * 3 + 4) * own_s)


def test_weights_that_are_gone_are_part_of_what_is_left(estimated, complete, tmp_path):
    """The run of seg is complete without weights, and sequential starts from it."""
    _, own_s, design = estimated()
    run = next(run for run in design.runs.values() if run.starts_from)
    for name, wall_s, expected in (
        # Runs of seg take twice as long: one is left, and one is trained again.
        (run.starts_from, 2 * own_s, 2 * 2 + 6),
        (run.hash, own_s, 2 + 5),
    ):
        place = run_folder(tmp_path / "results", name)
        complete(place, wall_s=wall_s, steps=design.own_steps(name))
        assert estimated()[0] == pytest.approx(expected * own_s)


@pytest.mark.parametrize(
    ("table", "changed", "same"),
    [
        ("optim", {"accumulate": 2}, False),
        ("optim", {"validate_every": 1}, False),
        ("loss", {"target_stride": 8}, False),
        ("optim", {"lr": 0.5}, True),
    ],
)
def test_what_a_step_takes_is_known_of_steps_that_do_the_same(estimated, table, changed, same):
    _, _, design = estimated()
    *_, run = design.runs.values()
    other = replace(run, config=run.config | {table: run.config[table] | changed})
    assert (cost._kind(other) == cost._kind(run)) is same


def test_a_search_is_its_trials_and_finalists_at_the_middle_of_its_space(estimated, tmp_path):
    seconds, own_s, _ = estimated(*SEARCHED)  # 8 is the middle of 4, 8 and 12
    trials, finalists, others = 5 * 2, 2 * 2, 3 * 2
    assert seconds == pytest.approx((trials + finalists + others) * own_s)

    write_trials(tmp_path, ["complete", "pruned", "running"])
    assert estimated(*SEARCHED)[0] == pytest.approx((3 * 2 + finalists + others) * own_s)

    write_trials(tmp_path, ["complete"] * 4)  # the last one may become one of the two finalists
    assert estimated(*SEARCHED)[0] == pytest.approx((2 + 2 + others) * own_s)


def test_of_a_search_that_is_done_the_finalists_that_are_known_are_left(
    estimated, complete, tmp_path
):
    write_trials(tmp_path, ["complete"] * 5)
    seconds, own_s, design = estimated(*SEARCHED, found=2)
    names = [row.run.hash for row in design.rows if row.cell.trial is not None]
    assert len(names) == 4
    assert seconds == pytest.approx((4 + 3 * 2) * own_s)
    done, steps = run_folder(tmp_path / "results", names[0]), design.rows[0].run.steps
    complete(done, wall_s=own_s, steps=steps)
    assert estimated(*SEARCHED, found=2)[0] == pytest.approx((3 + 3 * 2) * own_s)


def write_trials(folder, states):
    rows = [{"arm": "joint", "trial": n, "state": state} for n, state in enumerate(states)]
    write_csv(folder / "results" / "trials.csv", ["arm", "trial", "state", "runs"], rows)
