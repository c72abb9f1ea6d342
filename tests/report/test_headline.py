"""Sentences of a study whose numbers are set by hand."""

from dataclasses import replace

import pytest

from mtlbench.report.collect import read_study
from mtlbench.report.headline import headline
from mtlbench.report.numbers import measure


@pytest.fixture(scope="module")
def measured(written):
    study = read_study(written / "arms")
    return study, measure(study)


@pytest.fixture(scope="module")
def swept(written):
    study = read_study(written / "sweep")
    return study, measure(study)


def row(difference, low, high, p, doubts=""):
    limits = {"difference": difference, "low": low, "high": high}
    return limits | {"p_adjusted": p, "reliable": not doubts, "doubts": doubts}


WIN = row(0.042, 0.011, 0.073, 0.01)
SMALL_WIN = row(0.02, 0.004, 0.036, 0.02)
OPEN = row(0.042, -0.061, 0.145, 0.4)
BEHIND = row(-0.02, -0.061, 0.021, 0.4)
LOSS = row(-0.03, -0.05, -0.01, 0.01)
FEW = row(0.3, 0.1, 0.5, 0.0001, "too few patients")
TWO_DOUBTS = row(0.3, 0.1, 0.5, 0.0001, "too few patients; undefined resamples")
ALONE = row(0.02, 0.001, 0.039, 0.08)
NONE = row(0.0, None, None, 1.0)
CLOSE = row(-0.03288, -0.06574, -0.00003, 0.049)


def say(measured, **rows):
    """The headline with these comparisons alone, `joint_auc=WIN`."""
    study, numbers = measured
    keyed = {tuple(name.split("_", 1)): row for name, row in rows.items()}
    return headline(study, replace(numbers, comparison=keyed))


@pytest.mark.parametrize(
    ("rows", "claim"),
    [
        ({"joint_auc": WIN}, "joint beats cls on AUC (+4.2 points, 95 % interval +1.1 to +7.3)"),
        (
            {"joint_auc": OPEN},
            "joint is not shown to beat cls on AUC (+4.2 points, 95 % interval −6.1 to +14.5)",
        ),
        ({"joint_auc": LOSS}, "joint falls short of cls on AUC (−3.0 points"),
        (
            {"joint_auc": FEW},
            "joint against cls on AUC stays undecided because of too few patients (+30.0 points",
        ),
        (
            {"joint_auc": TWO_DOUBTS},
            "joint against cls on AUC stays undecided because of too few patients and undefined "
            "resamples (+30.0 points",
        ),
        (
            {"joint_auc": ALONE},
            "joint is not shown to beat cls on AUC "
            "(+2.0 points, 95 % interval +0.1 to +3.9, but Holm p = 0.080)",
        ),
        (
            {"joint_auc": CLOSE},
            "joint falls short of cls on AUC (−3.3 points, 95 % interval −6.6 to −0.0)",
        ),
        ({"joint_auc": NONE}, "joint is not shown to beat cls on AUC (0.0 points, no interval)"),
        (
            {"joint_auc": SMALL_WIN, "sequential_auc": WIN},
            "sequential beats cls on AUC (+4.2 points, 95 % interval +1.1 to +7.3), "
            "and so does joint",
        ),
        ({"joint_auc": SMALL_WIN, "sequential_auc": FEW}, "joint beats cls on AUC (+2.0 points"),
        (
            {"joint_auc": BEHIND, "sequential_auc": LOSS},
            "no arm is shown to beat cls on AUC: joint comes closest (−2.0 points",
        ),
        (
            {"joint_auc": LOSS, "sequential_auc": row(-0.1, -0.2, -0.01, 0.02)},
            "no arm beats cls on AUC: even joint falls short (−3.0 points",
        ),
    ],
)
def test_only_what_is_supported_is_claimed(measured, rows, claim):
    said = say(measured, **rows)
    assert said.startswith(f"On these 40 test patients, {claim}")
    assert "no arm is compared on Mean Dice" in said  # no comparison of it was given


def test_both_metrics_in_one_sentence(measured):
    said = say(measured, joint_auc=WIN, joint_dice=LOSS)
    assert said == (
        "On these 40 test patients, joint beats cls on AUC (+4.2 points, 95 % interval +1.1 to "
        "+7.3); joint falls short of seg on Mean Dice (−3.0 points, 95 % interval −5.0 to −1.0)."
    )


@pytest.mark.parametrize(
    ("rivals", "p", "verdict"),
    [
        (1, 0.024, "; not inferior by the margin of 5.0 points)"),
        (1, 0.026, "; not shown to be not inferior by the margin of 5.0 points)"),
        (2, 0.024, "; not shown to be not inferior by the margin of 5.0 points)"),
        (2, 0.012, "; not inferior by the margin of 5.0 points)"),
        (1, None, "−6.1 to +2.1)"),
    ],
)
def test_a_margin_is_judged_one_sided_for_the_best_of_all(measured, rivals, p, verdict):
    study, numbers = measured
    rules = study.config.compare.model_copy(update={"margins": {"auc": 0.05}})
    study = replace(study, config=study.config.model_copy(update={"compare": rules}))
    rows = {"joint_auc": BEHIND | {"p_noninferior": p}, "sequential_auc": LOSS}
    said = say((study, numbers), **dict(list(rows.items())[:rivals]))
    assert verdict in said


def test_a_baseline_that_is_absent_is_said_so(measured):
    study, numbers = measured
    baselines = dict.fromkeys(numbers.baselines)
    said = headline(study, replace(numbers, baselines=baselines))
    assert said.count("for want of a baseline") == 2
    assert "beat" not in said


def test_one_arm_alone_reports_its_values(measured):
    study, numbers = measured
    arms = [arm for arm in study.config.arms if arm.name == "joint"]
    config = study.config.model_copy(update={"arms": arms})
    cells = tuple(cell for cell in study.cells if cell.arm == "joint")
    said = headline(replace(study, config=config, cells=cells), numbers)
    value = numbers.estimate["joint", "auc"]["value"]
    assert said.startswith(f"On these 40 test patients, joint reaches AUC {100 * value:.1f} % (95")
    assert said.endswith("nothing is compared with it.")


def test_half_a_study_speaks_so_far(measured):
    study, numbers = measured
    cells = tuple(
        replace(cell, runs=cell.runs[:1]) if cell.arm == "joint" else cell for cell in study.cells
    )
    said = headline(replace(study, cells=cells), numbers)
    assert said.startswith("So far, on these 40 test patients, ")


def test_a_cell_that_was_found_says_how(swept):
    study, numbers = swept
    chosen = study.representative("joint")
    numbers = replace(numbers, comparison={(chosen.name, "auc"): WIN})
    value = chosen.values["loss.lambda"]
    assert f"joint at λ = {value} beats cls on AUC" in headline(study, numbers)
    trials = study.trials.reindex(range(24)).assign(arm="joint", state="complete")
    said = headline(replace(study, trials=trials), numbers)
    assert "joint (found in 24 trials) beats cls on AUC" in said


def test_nothing_measured_is_said_so(measured):
    study, numbers = measured
    blank = {key: {**row, "value": None} for key, row in numbers.estimate.items()}
    assert "nothing could be measured" in headline(study, replace(numbers, estimate=blank))
