"""What a run's record says of how it was computed."""

from dataclasses import replace

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file

from mtlbench.config import AugmentConfig, LossConfig, ModelConfig, OptimConfig, ResourcesConfig
from mtlbench.errors import StudyError
from mtlbench.models.backbones.pretrained import weights_identity
from mtlbench.records import RunFolder
from mtlbench.training import attempt, host, launch, rank, run
from mtlbench.training.checkpoint import Checkpoints, Stopped, StopRequest
from mtlbench.training.compiling import Choice
from mtlbench.training.contact import ask_to_stop
from mtlbench.training.run import Task, execute

DEVICE = torch.device("cpu")


@pytest.fixture
def task(prepared, cases, tmp_path):
    """A run of three epochs that are validated at the second and the last."""
    cases.to_csv(tmp_path / "cases.csv", index=False)
    optim = OptimConfig(batch_size=4, validate_every=2)
    config = {
        "seed": 0, "fold": None, "threads": 1, "starts_from": None,
        "model": ModelConfig(backbone="small", output_stride=8).model_dump(),
        "optim": optim.model_dump(), "augment": AugmentConfig().model_dump(),
        "loss": LossConfig().model_dump(exclude={"lambda_"}),
        "stages": [
            {"name": "joint", "cls_weight": 0.5, "seg_weight": 0.5, "epochs": 3, "steps": None}
        ],
    }  # fmt: skip
    folder = tmp_path / "run"
    return Task(folder, prepared.root, tmp_path / "cases.csv", config, ("cpu",), ResourcesConfig())


def record(task):
    return RunFolder(task.folder).record()


def test_the_record_says_how_the_run_was_computed(task):
    execute(task)
    found = record(task)
    assert found["state"] == "complete"
    assert found["data"] == "memory-mapped"
    assert (found["compile"], found["compile_why"]) == ("off", "a CPU gains nothing by it")
    assert (found["deterministic"], found["nondeterministic"]) == (True, [])


def test_runs_and_ranks_set_up_their_host(task, tmp_path, monkeypatch):
    def stop(threads):
        raise InterruptedError(threads)

    task.folder.mkdir()
    monkeypatch.setattr(run, "set_up_host", stop)
    with pytest.raises(InterruptedError, match="1"):
        run._execute(RunFolder(task.folder), task, StopRequest())
    monkeypatch.setattr(host, "set_up_host", stop)
    monkeypatch.setattr(launch, "read_task", lambda path: task)
    with pytest.raises(InterruptedError, match="1"):
        rank._compute(tmp_path, 0)


@pytest.mark.parametrize(
    ("before", "device", "asked", "expected"),
    [
        ("default", "this", "auto", "default"),
        ("default", "another", "auto", "off"),
        ("default", "this", "off", "off"),
        (None, "this", "auto", "off"),
    ],
)
def test_a_run_that_goes_on_keeps_its_mode(task, monkeypatch, before, device, asked, expected):
    name = run.provenance(DEVICE)["device"] if device == "this" else device
    kept = {} if before is None else {"compile": before, "compile_why": "as measured"}
    RunFolder(task.folder).write_record({"state": "interrupted", "device": name, **kept})
    modes = []

    def stop(*arguments, mode, **options):
        modes.append(mode)
        raise Stopped

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.setattr(attempt, "train", stop)
    with pytest.raises(Stopped):
        execute(replace(task, resources=ResourcesConfig(compile=asked)))
    assert modes == [expected]
    assert record(task)["compile"] == expected


def test_operations_that_do_not_repeat_their_bits_are_told_over_all_attempts(
    task, cohort, monkeypatch
):
    """The second attempt goes on after the last step, where training warns no more."""
    true = attempt.repeatable
    monkeypatch.setattr(attempt, "repeatable", lambda *_: true(torch.device("cuda"), True))
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    true_train = attempt.train

    def train(*arguments, **options):
        torch.zeros(3).put_(torch.tensor([0]), torch.tensor([1.0]))
        return true_train(*arguments, **options)

    monkeypatch.setattr(attempt, "train", train)
    stop, last = StopRequest(), 3 * cohort.steps_per_epoch(4)
    monkeypatch.setattr(Checkpoints, "due", lambda self, step: step == last)
    stop.asked = True
    with pytest.raises(Stopped):
        execute(task, stop)
    assert record(task)["nondeterministic"] == ["put_"]
    monkeypatch.undo()
    execute(task)
    found = record(task)
    assert (found["state"], found["deterministic"]) == ("complete", False)
    assert found["nondeterministic"] == ["put_"]


def test_a_pruned_run_has_the_metrics_of_its_last_validation(task, monkeypatch):
    """Of five epochs the second, fourth and last would be validated; it ends after the third."""
    true, rows = attempt.Attempt._on_epoch, []

    def on_epoch(self, row):
        rows.append(row)
        if row["epoch"] == 3:
            ask_to_stop(task.folder)
        true(self, row)

    monkeypatch.setattr(attempt.Attempt, "_on_epoch", on_epoch)
    (stage,) = task.config["stages"]
    execute(replace(task, config={**task.config, "stages": [stage | {"epochs": 5}]}))
    found = record(task)
    assert found["state"] == "pruned"
    assert len(rows) == 3
    assert found["validation"] == {
        name: rows[1][f"val_{name}"] for name in ("auc", "dice", "dice_lesions", "dice_any")
    }
    assert found["validation"]["dice"] is not None


@pytest.fixture
def pretrained(task, tmp_path):
    """The task with weights from a file."""
    torch.manual_seed(0)
    file = tmp_path / "resnet.safetensors"
    save_file(torchvision.models.resnet18().state_dict(), file)
    model = ModelConfig(backbone="resnet18", weights=weights_identity(str(file)))
    (stage,) = task.config["stages"]
    changed = {"model": model.model_dump(), "stages": [stage | {"epochs": 1}]}
    return replace(task, config={**task.config, **changed}, weights=file)


def test_a_run_starts_from_the_weights_in_the_file(pretrained):
    """With no learning rate it keeps them."""
    optim = pretrained.config["optim"] | {"lr": 1e-30}
    execute(replace(pretrained, config={**pretrained.config, "optim": optim}))
    kept = load_file(pretrained.folder / "model.safetensors")
    given = load_file(pretrained.weights)
    assert torch.equal(kept["features.0.weight"], given["conv1.weight"].sum(1, keepdim=True))
    assert torch.equal(kept["features.7.1.conv2.weight"], given["layer4.1.conv2.weight"])
    assert record(pretrained)["weights"] == "resnet.safetensors"


def test_a_file_of_weights_that_was_replaced_is_noticed(pretrained):
    save_file(torchvision.models.resnet18().state_dict(), pretrained.weights)
    with pytest.raises(StudyError, match=r"resnet\.safetensors: must be the file that it was"):
        execute(pretrained)
    assert not (pretrained.folder / "history.csv").exists()


def test_a_batch_must_have_a_case_for_each_part(task):
    optim = task.config["optim"] | {"accumulate": 5}
    with pytest.raises(StudyError, match="at most the cases of a training batch, 4, but got 5 x 1"):
        execute(replace(task, config={**task.config, "optim": optim}))


def test_an_attempt_that_measures_is_given_the_cases_of_a_part(task, monkeypatch):
    asked, measured = [], []

    def measure(config, size, cases, device):
        measured.append((size, cases, device))
        return 0.5

    def choose(wanted, device, ranks, steps, parts, part_s):
        asked.append((wanted, ranks, steps, parts, part_s()))
        return Choice("off", "")

    monkeypatch.setattr(attempt, "step_s", measure)

    monkeypatch.setattr(attempt, "choose_mode", choose)
    optim = task.config["optim"] | {"accumulate": 2}
    execute(replace(task, config={**task.config, "optim": optim}))
    steps = record(task)["steps"]
    assert asked == [("auto", 1, steps, 2, 0.5)]
    assert measured == [((32, 24), 2, DEVICE)]
