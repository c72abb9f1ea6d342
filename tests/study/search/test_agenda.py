"""Searches driven without training: runs end in any order, with values of a planted surface."""

from collections import Counter
from contextlib import suppress

import pytest

from mtlbench.errors import StudyError
from mtlbench.records import RunFolder
from mtlbench.study.cells import expand
from mtlbench.study.design import build_design
from mtlbench.study.weights import AGAIN


def test_every_trial_is_computed_once_and_the_best_is_the_finalist(hunt):
    make, driver = hunt("trials = 12\nfinalists = 2")
    search = make()
    assert driver.run(search, slots=3) == {}
    rows = driver.trials()
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
    [first, second] = driver.trials()
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
    counts = Counter(row["arm"] for row in driver.trials())
    assert counts == {"joint": 5, "wide": 5}
    wide = [row for row in driver.trials() if row["arm"] == "wide"]
    assert {row["optim.batch_size"] for row in wide} == {"4", "8"}
    assert {row["optim.lr"] for row in wide} == {""}
    assert [cell.arm for cell in search.finalists()] == ["joint", "wide"]
    assert [cell.arm for cell in expand(world("trials = 5", more=more)[0])] == ["cls"]


def test_only_the_wanted_arms_are_searched(hunt):
    more = """
[[arms]]
name = "wide"
set = { strategy = "joint" }
search = { "optim.batch_size" = [4, 8] }
"""
    make, driver = hunt("trials = 3", more=more)
    only = make(only=["wide"])
    driver.run(only)
    assert Counter(row["arm"] for row in driver.trials()) == {"wide": 3}
    assert [cell.arm for cell in only.finalists()] == ["wide"]
    driver.run(make())
    assert Counter(row["arm"] for row in driver.trials()) == {"joint": 3, "wide": 3}


def test_equal_runs_are_computed_once(hunt):
    make, driver = hunt("trials = 20", space='"optim.batch_size" = [4, 8]')
    search = make()
    driver.run(search, slots=4)
    assert len(driver.begun) == 2
    assert [row["state"] for row in driver.trials()] == ["complete"] * 20
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


STAGES = """
"strategy" = ["seg", "sequential"]
"optim.batch_size" = [4, 8]
"""
NO_WEIGHTS = """[resources]
keep = "none"
"""


def test_weights_that_are_not_kept_are_made_again_where_a_stage_starts_from_them(hunt):
    """Though the driver is killed again and again, no trial's results are taken back for that."""
    lines = 'trials = 12\nparallel = 1\nobjective = "val.dice"'
    make, driver = hunt(lines, space=STAGES, more=NO_WEIGHTS)
    is_done = False
    while not is_done:
        with suppress(driver.Killed):
            driver.run(make(), kill_after=3)
            is_done = True
        complete = [row for row in driver.trials() if row["state"] == "complete"]
        names = {name for row in complete for name in row["runs"].split()}
        assert all(RunFolder(driver.path(name)).state() == "complete" for name in names)
    rows = driver.trials()
    assert [row["state"] for row in rows] == ["complete"] * 12
    assert {row["strategy"] for row in rows} == {"seg", "sequential"}
    assert any(name.endswith(AGAIN) for name in driver.completed)
    assert not list(driver.folder.glob("runs/*/model.safetensors"))


def test_weights_stay_while_a_trial_that_is_not_wanted_starts_from_them(hunt):
    """The key that is searched shapes neither run, so the first stage is that of the other arm."""
    arm = """
[[arms]]
name = "{0}"
set = {{ strategy = "{0}" }}
search = {{ "loss.lambda" = [0.2, 0.8] }}
"""
    more = arm.format("seg") + arm.format("sequential") + NO_WEIGHTS
    make, driver = hunt('trials = 1\nobjective = "val.dice"', more=more)
    with pytest.raises(driver.Killed):
        driver.run(make(only=["sequential"]), kill_after=3)
    (stage,) = driver.completed
    driver.run(make(only=["seg"]))
    assert [row["runs"].split()[0] for row in driver.trials()] == [stage] * 2
    driver.run(make(only=["sequential"]))
    assert len(driver.completed) == 2
    assert not list(driver.folder.glob("runs/*/model.safetensors"))


def test_a_failed_run_fails_its_trial_and_the_search_goes_on(hunt):
    make, driver = hunt("trials = 8")
    lost = make().next().hash
    failures = driver.run(make(), fails=[lost])
    states = Counter(row["state"] for row in driver.trials())
    assert states == {"failed": 1, "complete": 7}
    assert failures == {lost: "RuntimeError: planted"}
    assert make().failures == failures
    assert driver.optuna_trials()[0].state.name == "FAIL"


def test_a_forgiven_run_gets_its_trial_another_chance(hunt):
    make, driver = hunt("trials = 8")
    lost = make().next().hash
    driver.run(make(), fails=[lost])
    before = [row["loss.lambda"] for row in driver.trials()]
    folder = RunFolder(driver.path(lost))
    folder.write_record(folder.record() | {"state": "interrupted", "failures": 0})
    driver.begun.clear()
    driver.run(make())
    assert driver.begun == [lost]
    assert [row["state"] for row in driver.trials()] == ["complete"] * 8
    assert [row["loss.lambda"] for row in driver.trials()] == before
    assert [t.state.name for t in driver.optuna_trials()] == ["COMPLETE"] * 8


def test_an_arm_all_of_whose_trials_fail_has_no_finalist(hunt, peak):
    make, driver = hunt("trials = 2", surface=lambda config: dict.fromkeys(peak()(config)))
    search = make()
    driver.run(search)
    assert search.finalists() == []
    assert search.failures == {"joint": "none of its 2 trials is complete, so there is no finalist"}


@pytest.mark.parametrize(
    "key",
    ['"loss.lambda" = { low = 0.05, high = 0.2 }',
     '"loss.lambda" = { low = 0.05, high = 0.99 }',
     '"optim.weight_decay" = { low = 0.05, high = 0.95 }'],
)  # fmt: skip
def test_a_search_that_has_begun_refuses_another_space(hunt, key):
    make, driver = hunt("trials = 4")
    driver.run(make())
    lr = '"optim.lr" = { low = 1e-4, high = 1e-1, log = true }'
    with pytest.raises(
        StudyError, match=r"arms\.joint\.search\.(loss\.lambda|optim\.weight_decay)"
    ):
        hunt("trials = 4", space=f"{key}\n{lr}")[0]()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('sampler = "gp"', 'search.sampler: "tpe" -> "gp"'),
        ('objective = "val.dice"', 'search.objective: "val.auc" -> "val.dice"'),
        ('pruner = "median"', 'search.pruner: "none" -> "median"'),
        ("seed = 3", "search.seed: 0 -> 3"),
        ("trial_seeds = [5]", "search.trial_seeds: [1000] -> [5]"),
        ("parallel = 2", "search.parallel: 4 -> 2"),
    ],
)
def test_a_search_that_has_begun_refuses_other_trials_with_a_diff(hunt, line, said):
    make, driver = hunt("trials = 4")
    with pytest.raises(driver.Killed):
        driver.run(make(), kill_after=1)
    before = (driver.folder / "trials.csv").read_bytes()
    with pytest.raises(StudyError, match="a study may grow") as error:
        hunt(f"trials = 4\n{line}")[0]()
    assert error.value.exit_code == 2
    assert [text.strip() for text in str(error.value).splitlines()[1:-1]] == [said]
    assert (driver.folder / "trials.csv").read_bytes() == before


def test_a_search_that_has_not_begun_may_change(hunt):
    hunt("trials = 4")
    make, driver = hunt('trials = 4\nsampler = "random"\nparallel = 1')
    assert driver.run(make()) == {}


def test_what_the_trials_were_chosen_by_must_be_known(hunt):
    make, driver = hunt("trials = 4")
    make()
    (driver.folder / "study.toml").unlink()
    with pytest.raises(StudyError, match=r"study\.toml: must be there"):
        make()


def test_a_search_may_grow(hunt):
    make, driver = hunt("trials = 6")
    driver.run(make())
    before = driver.trials()
    make, driver = hunt("trials = 9\nfinalists = 2")
    driver.run(make())
    assert driver.trials()[:6] == before
    assert len(driver.begun) == 3
