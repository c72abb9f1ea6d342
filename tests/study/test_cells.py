import pytest

from mtlbench.config import load_study
from mtlbench.errors import StudyError
from mtlbench.study.cells import expand, read_study_file, refuse_large_batches
from mtlbench.study.data import load_data

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
        "compare.published: 'nobody' is not in the registry",
    ),
    (
        ("[budget]", "[compare]\nregistry = 'absent.toml'\n[budget]"),
        "compare.registry: ",
    ),
    (
        ("[budget]", "[compare.assume]\nauc = 1.2\n[budget]"),
        "compare.assume.auc: Input should be less than 1, but got 1.2",
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
    (
        ("batch_size = 8", "batch_size = 8\naccumulate = 9"),
        "base.optim.batch_size: must be at least resources.gpus_per_run times optim.accumulate, "
        "1 x 9, but got 8",
    ),
    (
        (
            "[base.optim]",
            "[resources]\ncompile = 'reduce-overhead'\n[base.optim]\naccumulate = 2",
        ),
        "base.optim.accumulate: must be 1 with resources.compile = 'reduce-overhead'",
    ),
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
        read_study_file(path)
    assert message in str(caught.value)
    assert all(line.startswith(f"{path}: ") for line in str(caught.value).splitlines())


def faults_of(path):
    with pytest.raises(StudyError) as caught:
        read_study_file(path)
    return sorted(line.removeprefix(f"{path}: ") for line in str(caught.value).splitlines())


def test_every_fault_is_told_at_once(study_file):
    """Of types, names, ranges, and of what tables say of each other; one line each."""
    path = study_file(
        ('dataset = "phantom"', 'dataset = "fantom"'),
        ("seeds = [0, 1]", "seeds = [1, 1]\nsneeds = 3"),
        ('auc = "cls"', 'auc = "clss", f1 = "cls"'),
        ("patients = 24", "patients = 0"),
        ('backbone = "small"', 'backbone = "vgg"\nbakbone = 1'),
        ("batch_size = 8", 'batch_size = "8"'),
        ('strategy = "seg"', 'strategy = "sec"'),
        ('strategy = "joint" }', 'strategy = "joint" }\nvary = { "loss.lambda" = 1.5 }'),
        ('strategy = "cls" }', 'strategy = "cls" }\nvary = { "loss.lambda" = [0.1, 2, 0.1] }'),
        ("[budget]", "[compare]\nlevel = 2\n[budget]"),
    )
    expected = [
        "arms.cls.vary.loss.lambda: values must be unique, but got [0.1, 2, 0.1]",
        "arms.joint.vary.loss.lambda: Input should be a valid list, but got 1.5",
        "arms.seg.set.strategy: must be one of cls, joint, seg, sequential, but got 'sec'",
        "base.model.backbone: must be one of",
        "base.model.bakbone: unknown key",
        "base.optim.batch_size: Input should be a valid integer, but got '8'",
        "baseline: must be one of auc, dice, but got 'f1'",
        "baseline: must be one of the arms ['cls', 'seg', 'sequential', 'joint'], but got ['clss']",
        "compare.level: Input should be less than 1, but got 2",
        "data.patients: Input should be greater than or equal to 1, but got 0",
        "dataset: must be one of",
        "seeds: must be unique, but got [1, 1]",
        "sneeds: unknown key",
    ]
    found = faults_of(path)
    assert len(found) == len(expected)
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("old", "new", "only"),
    [
        ('name = "cls"', "name = 3", "arms.0.name: Input should be a valid string"),
        ('name = "cls"', "", "arms.0.name: Field required"),
        ("epochs = 2", "epochs = 0", "budget.epochs: Input should be greater"),
        ('dataset = "phantom"', "", "dataset: Field required"),
        ("seeds = [0, 1]", "seeds = []", "seeds: List should have at least 1 item"),
        ("[budget]", "[compare]\nchoose = 'val.f1'\n[budget]", "compare.choose: Input should be"),
        ("[budget]", "[search]\nsampler = 'x'\ntrials = 3\n[budget]", "search.sampler: Input"),
    ],
)
def test_what_is_at_fault_makes_no_further_fault(study_file, old, new, only):
    """A stand-in takes its place, of which nothing is told."""
    [line] = faults_of(study_file((old, new)))
    assert line.startswith(only)


def test_a_search_tells_all_of_its_faults(tmp_path, tiny_study):
    path = tmp_path / "hunt.toml"
    path.write_text(
        tiny_study.replace(
            "[budget]",
            """[search]
trials = 2
finalists = 3
trial_seeds = [1, 1]
[budget]""",
        ).replace('name = "tiny"', 'name = "tiny"\nkind = "search"')
        + """[arms.search]
"optim.lr" = { low = 1.0, high = 0.1 }
"model.backbone" = ["small", "vgg"]
"loss.lambda" = { low = 0.1, high = 0.9, when = { "model.backbone" = "small" } }
[[arms]]
name = "other"
[arms.search]
"optim.weight_decay" = [0.1, 0.2]
"loss.lambda" = { low = 0.1, high = 0.9, when = { "optim.lr" = 1, "optim.weight_decay" = 0.3 } }
"""
    )
    starts = [
        "arms.joint.search.model.backbone: must be one of",
        "arms.joint.search.optim.lr: low must be below high, but got 1.0 and 0.1",
        "arms.other.search.loss.lambda.when.optim.lr: must name an earlier key",
        "arms.other.search.loss.lambda.when.optim.weight_decay: must be of the choices [0.1, 0.2]",
        "search.finalists: must be <= trials, but got 3",
        "search.trial_seeds: must be unique, but got [1, 1]",
        "search.trial_seeds: must not be in seeds",
    ]
    for line, start in zip(faults_of(path), starts, strict=True):
        assert line.startswith(start)


def large(path):
    study = load_study(path)
    expand(study)
    data = load_data(study, {})
    refuse_large_batches(study, data, str(path))
    return study, data


def test_a_batch_larger_than_the_training_split_is_refused(study_file):
    _, data = large(study_file())
    cases = int((data.cases["split"] == "train").sum())
    large(study_file(("batch_size = 8", f"batch_size = {cases}")))
    size = ("batch_size = 8", f"batch_size = {cases + 1}")
    with pytest.raises(StudyError) as caught:
        large(study_file(size))
    fault = f"must be at most the number of training cases, {cases}, but got {cases + 1}"
    assert str(caught.value).endswith(f"tiny.toml: base.optim.batch_size: {fault}")


def test_of_folds_the_smallest_counts_and_of_a_sweep_every_value(study_file):
    folds = ('difficulty = "easy"', 'difficulty = "easy"\nfolds = 5')
    data = large(study_file(folds))[1]
    sizes = data.cases.groupby("fold").size()
    vary = (
        'strategy = "joint" }',
        'strategy = "joint" }\nvary = { "optim.batch_size" = [8, 500, 600] }',
    )
    with pytest.raises(StudyError) as caught:
        large(study_file(folds, vary))
    lines = str(caught.value).splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["500", "600"]
    assert all("arms.joint.vary.optim.batch_size: " in line for line in lines)
    assert data.training_cases < sizes.sum() - sizes.max()


def test_a_search_is_refused_by_the_high_of_its_space(tmp_path, tiny_study):
    path = tmp_path / "hunt.toml"
    text = tiny_study.replace("[budget]", "[search]\ntrials = 2\n[budget]")
    text = text.replace('name = "tiny"', 'name = "tiny"\nkind = "search"')
    path.write_text(text + '[arms.search]\n"optim.batch_size" = { low = 8, high = 512 }\n')
    with pytest.raises(StudyError, match=r"arms\.joint\.search\.optim\.batch_size: .* got 512$"):
        large(path)
