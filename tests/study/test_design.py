import pytest

from mtlbench.config import load_study
from mtlbench.errors import StudyError
from mtlbench.study.design import expand

SWEEP = (
    'name = "joint"\nset = { strategy = "joint" }',
    'name = "joint"\nset = { strategy = "joint" }\nvary = { "loss.lambda" = [0.25, 0.5] }',
)


def rows_of(design, arm):
    return [row for row in design.rows if row.cell and row.cell.arm == arm]


def test_the_first_stage_of_sequential_is_the_seg_run(design_of):
    design = design_of()
    for sequential, seg in zip(rows_of(design, "sequential"), rows_of(design, "seg"), strict=True):
        assert sequential.run.starts_from == seg.run.hash
        assert sequential.run.steps == 2 * seg.run.steps
    assert len(design.runs) == 8


def test_under_a_total_budget_it_is_a_run_that_no_arm_names(design_of):
    design = design_of(('rule = "per-stage"', 'rule = "total"'))
    stages = [row for row in design.rows if row.cell is None]
    assert len(stages) == 2
    assert len(design.runs) == 10
    assert {row.run.steps for row in rows_of(design, "sequential")} == {
        row.run.steps for row in rows_of(design, "seg")
    }


def test_runs_that_others_start_from_come_first(design_of):
    design = design_of()
    order = list(design.runs)
    for run in design.runs.values():
        if run.starts_from:
            assert order.index(run.starts_from) < order.index(run.hash)


def test_arms_with_the_same_configuration_share_their_runs(design_of):
    twin = (
        '[[arms]]\nname = "cls"',
        '[[arms]]\nname = "twin"\nset = { strategy = "cls" }\n[[arms]]\nname = "cls"',
    )
    design = design_of(twin)
    assert [r.run.hash for r in rows_of(design, "twin")] == [
        r.run.hash for r in rows_of(design, "cls")
    ]
    assert design.users[rows_of(design, "cls")[0].run.hash] == ["twin", "cls"]


def test_a_sweep_is_a_cell_per_point(design_of):
    design = design_of(SWEEP)
    labels = [cell.label for cell in design.cells if cell.arm == "joint"]
    assert labels == ["joint [loss.lambda=0.25]", "joint [loss.lambda=0.5]"]
    weights = {r.run.config["stages"][0]["cls_weight"] for r in rows_of(design, "joint")}
    assert weights == {0.25, 0.5}


def test_a_hash_covers_what_a_run_uses_and_nothing_else(design_of):
    plain = design_of()
    lambda_ = design_of(("[base.model]", "[base.loss]\nlambda = 0.9\n[base.model]"))
    weights = design_of(("[base.model]", '[base.loss]\nclass_weights = "none"\n[base.model]'))
    threads = design_of(("[budget]", "[resources]\nthreads = 2\n[budget]"))

    def hashes(design, arm):
        return [row.run.hash for row in rows_of(design, arm)]

    for arm in ("cls", "seg", "sequential"):
        assert hashes(lambda_, arm) == hashes(plain, arm)
    assert hashes(lambda_, "joint") != hashes(plain, "joint")
    assert hashes(weights, "cls") == hashes(plain, "cls")
    assert not set(hashes(weights, "seg")) & set(hashes(plain, "seg"))
    assert not set(hashes(weights, "sequential")) & set(hashes(plain, "sequential"))
    assert not set(threads.runs) & set(plain.runs)


def test_joint_at_lambda_1_has_its_own_hash(design_of):
    design = design_of(("[base.model]", "[base.loss]\nlambda = 1.0\n[base.model]"))
    assert rows_of(design, "joint")[0].run.hash != rows_of(design, "cls")[0].run.hash


def test_folds_make_a_run_each(design_of):
    design = design_of(('difficulty = "easy"', 'difficulty = "easy"\nfolds = 3'))
    assert len(rows_of(design, "cls")) == 6
    assert {row.fold for row in design.rows} == {0, 1, 2}


FAULTS = [
    (('backbone = "small"', 'backbone = "small"\nbakbone = 1'), "base.model.bakbone: unknown key"),
    (('backbone = "small"', 'backbone = "vgg"'), "base.model.backbone: must be one of"),
    (("batch_size = 8", 'batch_size = "8"'), "base.optim.batch_size: Input should be a valid int"),
    (
        ('strategy = "joint" }', 'strategy = "joint", "loss.lambda" = 1.5 }'),
        "arms.joint.set.loss.lambda: Input should be less than or equal to 1, but got 1.5",
    ),
    (
        ('strategy = "joint" }', 'strategy = "both" }'),
        "arms.joint.set.strategy: must be one of cls, joint, seg, sequential, but got 'both'",
    ),
    (('dataset = "phantom"', 'dataset = "fantom"'), "dataset: must be one of"),
    (("epochs = 2", "epochs = 2\nsteps = 3"), "budget: exactly one of epochs and steps"),
    (('auc = "cls"', 'auc = "clss"'), "baseline: must be one of the arms"),
    (("seeds = [0, 1]", "seeds = [1, 1]"), "seeds: must be unique"),
    (("seeds = [0, 1]", "sseeds = [1, 1]"), "sseeds: unknown key"),
    (('name = "seg"', 'name = "cls"'), "arms: names must be unique"),
    (
        ("patients = 24", "patients = 0"),
        "data.patients: Input should be greater than or equal to 1",
    ),
    (
        ("[budget]", "[compare]\npublished = ['nobody']\n[budget]"),
        "compare.published: must be one of",
    ),
    (("[base.model]", "[base.budget]\nepochs = 3\n[base.model]"), "base.budget: unknown key"),
    (
        (
            'name = "cls"\nset = { strategy = "cls" }',
            'name = "cls"\nvary = { strategy = ["cls", "seg"] }',
        ),
        "baseline: 'cls' has `vary`",
    ),
    (('name = "cls"\n', "name = cls\n"), "not valid TOML"),
    (("batch_size = 8", "batch_size = 8\nlr = inf"), "base.optim.lr: Input should be a finite"),
    (("seeds = [0, 1]", "seeds = [99999999999999999999]"), "seeds.0: "),
    (('backbone = "small"', 'backbone = "small"\nweights = "/no.pth"'), "base.model.weights: must"),
    (("patients = 24", "patients = 24\nfolds = 1"), "data.folds must be 0"),
    (("patients = 24", "patients = 24\ntest = 0.9"), "data.test + data.validation must be below 1"),
    (
        ('rule = "per-stage"\nepochs = 2', 'rule = "total"\nepochs = 1'),
        "budget.epochs must be >= 2 to be split",
    ),
    (
        ('strategy = "joint" }', 'strategy = "joint" }\nvary = { "loss.lambda" = [0.1, 0.1] }'),
        "arms.joint.vary.loss.lambda: values must be unique",
    ),
    (
        ('strategy = "joint" }', 'strategy = "joint" }\nvary = { strategy = ["cls"] }'),
        "arms.joint: strategy must stand in set or in vary",
    ),
    (
        ('strategy = "joint" }', 'strategy = "joint" }\nvary = { "los.lambda" = [0.1] }'),
        "arms.joint.vary.los.lambda: unknown key",
    ),
    (
        ("batch_size = 8", 'batch_size = 8\n[base.loss]\nclass_weights = "most"'),
        "base.loss.class_weights: Input should be 'none'",
    ),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS, ids=[m[:40] for _, m in FAULTS])
def test_a_faulty_study_file_is_refused_with_its_place(study_file, fault, message):
    path = study_file(fault)
    with pytest.raises(StudyError) as caught:
        expand(load_study(path), str(path))
    assert message in str(caught.value)
    assert all(line.startswith(f"{path}: ") for line in str(caught.value).splitlines())


def test_every_fault_is_told_at_once(study_file):
    path = study_file(
        ('backbone = "small"', 'backbone = "vgg"'), ('strategy = "joint"', 'strategy = "x"')
    )
    with pytest.raises(StudyError) as caught:
        expand(load_study(path), str(path))
    lines = str(caught.value).splitlines()
    assert len(lines) == 2, "one line a fault"
