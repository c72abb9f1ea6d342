import optuna
import pytest

from mtlbench.config import Arm, load_study
from mtlbench.errors import StudyError
from mtlbench.study.cells import expand
from mtlbench.study.search.samplers import as_optuna, draw
from mtlbench.study.search.space import corners, middle, plain, read_params

GOOD = """
name = "hunt"
kind = "search"
dataset = "phantom"
seeds = [0, 1]
baseline = "joint"
[budget]
epochs = 3
[search]
trials = 10
[[arms]]
name = "joint"
[arms.search]
"strategy" = ["joint", "sequential"]
"loss.lambda" = { low = 0.05, high = 0.95, when = { strategy = "joint" } }
"optim.lr" = { low = 1e-4, high = 1e-1, log = true }
"optim.batch_size" = { low = 8, high = 32, step = 8 }
"loss.class_weights" = ["none", [1.0, 2.0, 2.0, 2.0, 2.0]]
"""


@pytest.fixture
def checked(tmp_path):
    """Check the study with replacements; give its arm."""

    def check(*replacements: tuple[str, str]) -> Arm:
        text = GOOD
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "hunt.toml"
        path.write_text(text)
        study = load_study(path)
        assert expand(study) == []
        return study.arms[0]

    return check


def test_whatever_is_drawn_is_in_the_space_and_survives_the_table(checked):
    arm = checked()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(50):
        trial = study.ask()
        params = draw(trial, arm)
        assert ("loss.lambda" in params) == (params["strategy"] == "joint")
        assert params["optim.batch_size"] in (8, 16, 24, 32)
        assert type(params["optim.batch_size"]) is int
        assert 1e-4 <= params["optim.lr"] <= 1e-1
        assert params["loss.class_weights"] in ("none", [1.0, 2.0, 2.0, 2.0, 2.0])
        assert read_params(arm, {key: plain(value) for key, value in params.items()}) == params
        assert as_optuna(arm, params) == (trial.params, trial.distributions)


def test_corners_reach_every_end_under_every_strategy_that_has_it(checked):
    points = list(corners(checked()))
    for strategy in ("joint", "sequential"):
        here = [point for point in points if point["strategy"] == strategy]
        assert {point["optim.lr"] for point in here} == {1e-4, 1e-1}
        assert {point["optim.batch_size"] for point in here} == {8, 32}
    assert {point.get("loss.lambda") for point in points} == {None, 0.05, 0.95}


@pytest.mark.parametrize(
    "row",
    [
        {"strategy": "alternate"},
        {"strategy": "joint", "loss.lambda": "0.99", "optim.lr": "0.01"},
        {"strategy": "sequential", "loss.lambda": "0.5"},
    ],
)
def test_a_row_of_another_space_is_refused_with_its_key(checked, row):
    with pytest.raises(StudyError, match=r"^arms\.joint\.search\.(strategy|loss\.lambda): "):
        read_params(checked(), row)


LR = '"optim.lr" = { low = 1e-4, high = 1e-1, log = true }'
BATCH = '"optim.batch_size" = { low = 8, high = 32, step = 8 }'
WHEN = 'when = { strategy = "joint" }'
ARM = 'name = "joint"'
TRIALS = "trials = 10"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "search"', 'kind = "ablation"', 'kind: must be "search"'),
        ("[search]\ntrials = 10", "", 'kind: "search" must have [search]'),
        (TRIALS, "", "search.trials: Field required"),
        (TRIALS, "trials = 0", "search.trials: Input should be greater than or equal to 1"),
        (TRIALS, 'trials = 10\nsampler = "cmaes"', "search.sampler: "),
        (TRIALS, 'trials = 10\npruner = "asha"', "search.pruner: "),
        (TRIALS, 'trials = 10\nobjective = "test.auc"',
         "search.objective: must name validation metrics (val.auc, val.dice, val.dice_lesions, "
         "val.dice_any), since test data never choose, but got 'test.auc'"),
        (TRIALS, 'trials = 10\nobjective = ["val.auc", "test.dice"]', "got 'test.dice'"),
        (TRIALS, 'trials = 10\nobjective = ["val.auc", "val.auc"]',
         "search.objective: must be two"),
        (TRIALS, 'trials = 10\nobjective = ["val.auc", "val.dice"]\npruner = "hyperband"',
         "search.pruner: must be none or median with two objectives, but got 'hyperband'"),
        (TRIALS, "trials = 10\nfinalists = 11", "search.finalists: must be <= trials, but got 11"),
        (TRIALS, "trials = 10\ntrial_seeds = [1, 2]",
         "search.trial_seeds: must not be in seeds, since finalists are trained afresh, "
         "but got [1]"),
        (TRIALS, "trials = 10\ntrial_seeds = [5, 5]", "search.trial_seeds: must be unique"),
        (TRIALS, 'trials = 10\npruner = "wilcoxon"',
         "search.pruner: wilcoxon judges over the runs of a trial, so there must be at least 2"),
        (TRIALS, "trials = 10\nparallel = 0", "search.parallel: "),
        (LR, '"optim.lr" = { low = 1e-1, high = 1e-4 }',
         "arms.joint.search.optim.lr: low must be below high, but got 0.1 and 0.0001"),
        (LR, '"optim.lr" = { low = -1.0, high = 0.1 }', "search.optim.lr: Input should be"),
        (LR, '"optim.lr" = { low = 0.0, high = 0.1, log = true }', "low must be > 0 under log"),
        (LR, '"optim.lr" = { low = "a", high = 0.1 }', "arms.joint.search.optim.lr.low: "),
        (LR, '"optim.lr" = { high = 0.1 }', "search.optim.lr: must have choices, or low and high"),
        (LR, '"optim.lr" = { low = 0.1, high = 0.2, choices = [1, 2] }', "not both"),
        (LR, '"optim.lr" = { low = 0.1, hihg = 0.2 }', "search.optim.lr.hihg: unknown key"),
        (LR, '"optim.lr" = { low = 1, high = 2 }',
         "arms.joint.search.optim.lr: low and high must be written with a decimal point"),
        (LR, '"optim.rate" = { low = 0.1, high = 0.2 }', "search.optim.rate: unknown key"),
        (BATCH, '"optim.batch_size" = { low = 8.0, high = 32.0 }', "search.optim.batch_size: "),
        (BATCH, '"optim.batch_size" = { low = 8, high = 30, step = 8 }',
         "search.optim.batch_size: step must lead from low to high, but got 8, 30 and 8"),
        (BATCH, '"optim.batch_size" = { low = 8, high = 32, step = -8 }', "step must be > 0"),
        (BATCH, '"optim.batch_size" = { low = 8, high = 32, step = 8, log = true }', "log or step"),
        (BATCH, '"optim.batch_size" = [8]', "search.optim.batch_size.choices: "),
        (BATCH, '"optim.batch_size" = [8, 8]', "search.optim.batch_size: choices must be unique"),
        (BATCH, '"model.backbone" = ["resnet18", "resnet19"]',
         "arms.joint.search.model.backbone: must be one of"),
        (WHEN, 'when = { "optim.lr" = 0.1 }',
         "search.loss.lambda.when.optim.lr: must name an earlier key of search that has choices"),
        (WHEN, 'when = { strategy = "jiont" }',
         "search.loss.lambda.when.strategy: must be of the choices ['joint', 'sequential'], "
         "but got 'jiont'"),
        (ARM, 'name = "joint"\nset = { "optim.lr" = 0.1 }', "must stand in set or in search"),
        (ARM, 'name = "joint"\nvary = { "model.output_stride" = [8, 16] }', "vary or search"),
        ('["joint", "sequential"]', '["joint", "seg", "sequential"]',
         "search.objective: val.auc must be defined in all of a search, but arm 'joint' reaches "
         "strategy 'seg' with"),
        ("low = 0.05", "low = 0.0", "search.objective: val.auc must be defined"),
    ],
)  # fmt: skip
def test_each_fault_is_told_with_its_key(checked, old, new, message):
    with pytest.raises(StudyError) as caught:
        checked((old, new))
    assert message in str(caught.value)


def test_an_ablation_has_no_search(tmp_path, tiny_study):
    path = tmp_path / "tiny.toml"
    path.write_text(tiny_study + "[search]\ntrials = 3\n")
    with pytest.raises(StudyError, match='kind: must be "search", since the study has `search`'):
        load_study(path)


def test_defaults_of_the_seeds_and_of_the_choice(tmp_path):
    path = tmp_path / "hunt.toml"
    path.write_text(GOOD.replace("seeds = [0, 1]", "seeds = [1000, 1]"))
    study = load_study(path)
    assert study.trial_seeds == [1001]
    assert study.compare.choose == "val.auc"
    path.write_text(GOOD + '[compare]\nchoose = "val.dice"\n')
    assert load_study(path).compare.choose == "val.dice"


def test_the_middle_of_a_space_is_a_point_of_it(checked):
    arm = checked()
    assert middle(arm) == {
        "strategy": "sequential",
        "optim.lr": pytest.approx(10**-2.5),
        "optim.batch_size": 24,
        "loss.class_weights": [1.0, 2.0, 2.0, 2.0, 2.0],
    }
    arm = checked(('["joint", "sequential"]', '["sequential", "joint"]'))
    assert middle(arm)["loss.lambda"] == 0.5
