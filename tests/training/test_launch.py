"""Runs on several devices, here two CPU processes; each start of torchrun takes ten seconds."""

import json
import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mtlbench.config import AugmentConfig, ModelConfig, OptimConfig, ResourcesConfig
from mtlbench.errors import StudyError
from mtlbench.models.network import build_model
from mtlbench.records import RunFolder, write_json
from mtlbench.training import launch
from mtlbench.training.attempt import Attempt
from mtlbench.training.checkpoint import INDEX, Checkpoints, Stopped, StopRequest
from mtlbench.training.contact import HEARTBEAT, Contact, ask_to_stop
from mtlbench.training.rank import ENDED, LOG
from mtlbench.training.ranks import Ranks
from mtlbench.training.run import Task, execute
from mtlbench.training.state import DivergedError

STEPS = 40
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module")
def new_task(prepared, cases, tmp_path_factory):
    """Give a maker of tasks of an own folder each."""
    root = tmp_path_factory.mktemp("runs")
    cases.to_csv(root / "cases.csv", index=False)

    def make(name, devices=("cpu", "cpu"), resources=None, steps=STEPS, stride=1, **optim):
        optim = OptimConfig(**{"batch_size": 5, "validate_every": 1, **optim})
        stage = {"name": "joint", "cls_weight": 0.5, "seg_weight": 0.5}
        config = {
            "seed": 0, "fold": None, "threads": 1, "starts_from": None,
            "model": ModelConfig(backbone="small", output_stride=8).model_dump(),
            "optim": optim.model_dump(), "augment": AugmentConfig().model_dump(),
            "loss": {"class_weights": "median-frequency", "target_stride": stride},
            "stages": [stage | {"epochs": None, "steps": steps}],
        }  # fmt: skip
        every_step = resources or ResourcesConfig(checkpoint_steps=1)
        return Task(root / name, prepared.root, root / "cases.csv", config, devices, every_step)

    return make


def weights(task):
    return load_file(task.folder / "model.safetensors")


@pytest.fixture(scope="module")
def undisturbed(new_task):
    task = new_task("undisturbed", resources=ResourcesConfig())
    execute(task)
    return task


def test_a_run_of_two_ranks_ends_like_that_of_one_process(new_task, undisturbed):
    alone = new_task("alone", devices=("cpu",))
    execute(alone)
    for task in (undisturbed, alone):
        assert RunFolder(task.folder).state(verify=True) == "complete"
        assert not (task.folder / HEARTBEAT).exists()
    rows = [(t.folder / "history.csv").read_text().splitlines() for t in (undisturbed, alone)]
    assert len(rows[0]) == len(rows[1]) > 2
    first, first_alone = (list(map(float, r[1].split(",")[4:9])) for r in rows)
    assert first == pytest.approx(first_alone, rel=1e-4)


@pytest.mark.parametrize("stride", [1, 8])
def test_weights_stay_within_rounding_of_one_process_for_some_steps(new_task, stride):
    short = [
        new_task(f"short-{stride}-{len(devices)}", devices=devices, steps=6, stride=stride)
        for devices in (("cpu",) * 2, ("cpu",))
    ]
    for task in short:
        execute(task)
    two, one = map(weights, short)
    start = build_model(ModelConfig(backbone="small", output_stride=8), 0).state_dict()
    moved = max(float((one[k] - start[k]).abs().max()) for k in one if "num_batches" not in k)
    assert max(float((two[k] - one[k]).abs().max()) for k in one) < 2e-4 < moved / 10


def descendants(pid):
    """Processes below this one, of any session, as pid → command line."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(
                    (entry / "stat").read_text().rpartition(")")[2].split()[1]
                )
            except (FileNotFoundError, ProcessLookupError):
                continue
    found, wave = {}, {pid}
    while wave:
        wave = {child for child, parent in parents.items() if parent in wave}
        found |= {child: Path(f"/proc/{child}/cmdline").read_text() for child in wave}
    return found


def lives(pid):
    """Whether a process is there; one that has ended may still wait to be reaped by init."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ranks_of(pid):
    """The pids of the ranks below a process."""
    commands = descendants(pid).items()
    return sorted(p for p, words in commands if "\0rank\0" in words and "\0torchrun\0" not in words)


def listening(pids):
    """Local addresses, in hex, on which these processes listen."""
    links = [link for pid in pids for link in Path(f"/proc/{pid}/fd").iterdir()]
    sockets = {str(link.readlink()).strip("socket:[]") for link in links if link.is_symlink()}
    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return [line[1] for line in lines if line[3] == "0A" and line[9] in sockets]


def newest_step(task):
    """The step of the newest checkpoint, 0 where there is none."""
    index = task.folder / INDEX
    checkpoints = json.loads(index.read_text()) if index.exists() else []
    return checkpoints[0]["step"] if checkpoints else 0


@linux
def test_a_run_that_is_stopped_killed_and_loses_a_rank_ends_with_the_same_bits(
    new_task, undisturbed, wait_for
):
    task = new_task("disturbed")
    stop = StopRequest()

    def ask():
        wait_for(lambda: newest_step(task) >= 2)
        stop.asked = True

    threading.Thread(target=ask, daemon=True).start()
    with pytest.raises(Stopped):
        execute(task, stop)
    folder = RunFolder(task.folder)
    assert folder.state() == "interrupted"
    stopped_at = newest_step(task)
    assert 2 <= stopped_at < STEPS

    worker = multiprocessing.get_context("spawn").Process(target=execute, args=(task,))
    worker.start()
    wait_for(lambda: newest_step(task) >= stopped_at + 2)
    below = descendants(worker.pid)
    assert len(ranks_of(worker.pid)) == 2
    addresses = listening(below)
    assert addresses
    assert all(address.rpartition(":")[0].endswith("0100007F") for address in addresses)
    assert (task.folder / HEARTBEAT).exists()
    worker.kill()
    worker.join()
    wait_for(lambda: not any(map(lives, below)))
    assert folder.state() == "interrupted"
    killed_at = newest_step(task)

    def kill_a_rank():
        wait_for(lambda: newest_step(task) >= killed_at + 2)
        os.kill(ranks_of(os.getpid())[1], signal.SIGKILL)

    threading.Thread(target=kill_a_rank, daemon=True).start()
    with pytest.raises(launch.RankError, match=r"rank \d was killed by SIGKILL"):
        execute(task)
    record = folder.record()
    assert (record["state"], record["failures"]) == ("failed", 1)
    assert "was killed by SIGKILL" in record["error"]

    execute(task)
    assert folder.state(verify=True) == "complete"
    ended, expected = weights(task), weights(undisturbed)
    assert [name for name in expected if not torch.equal(ended[name], expected[name])] == []
    for name in ("history.csv", "predictions.csv"):
        assert (task.folder / name).read_bytes() == (undisturbed.folder / name).read_bytes()


def test_a_run_that_is_no_longer_needed_ends_pruned(new_task):
    task = new_task("pruned")
    task.folder.mkdir()
    ask_to_stop(task.folder)
    execute(task)
    record = RunFolder(task.folder).record()
    assert record["state"] == "pruned"
    assert set(record["validation"]) == {"auc", "dice", "dice_lesions", "dice_any"}
    assert len((task.folder / "history.csv").read_text().splitlines()) == 2
    assert {path.name for path in task.folder.iterdir()} <= {
        "config.json", "history.csv", "lock", "record.json"
    }  # fmt: skip


def test_a_loss_that_is_not_finite_ends_all_ranks(new_task):
    task = new_task("diverged", lr=1e30)
    with pytest.raises(DivergedError, match=r"^the .* must stay finite"):
        execute(task)
    record = RunFolder(task.folder).record()
    assert record["state"] == "failed"
    assert record["error"].startswith("DivergedError: the ")
    assert record["final"]
    assert "In rank" in record["traceback"]
    assert all(bool(values.isfinite().all()) for values in weights(task).values())


def test_an_exception_in_one_rank_ends_all(new_task):
    """The second rank's device is none."""
    task = new_task("broken", devices=("cpu", "nonsense"))
    with pytest.raises(launch.RankError, match=r"RuntimeError: .*nonsense"):
        execute(task)
    record = RunFolder(task.folder).record()
    assert record["error"].startswith("RuntimeError: ")
    assert not record["final"]


def test_a_batch_must_have_a_case_for_each_rank(new_task):
    task = new_task("too many", devices=("cpu",) * 6)
    task.folder.mkdir()
    checkpoints = Checkpoints(task.folder, task.resources, StopRequest())
    with pytest.raises(StudyError, match="at most the cases of a training batch, 5, but got 1 x 6"):
        Attempt(task, Contact(task.folder), checkpoints, Ranks(0, 6)).run()


def report(rank, at, **fields):
    silent = {"reason": f"RuntimeError: from {rank}", "traceback": "", "out_of_memory": False}
    return {"rank": rank, "at": at, "os_error": None, "diverged": None} | silent | fields


@pytest.mark.parametrize(
    ("reports", "killed", "expected"),
    [
        ([report(0, 2.0), report(1, 1.0)], [], launch.RankError("RuntimeError: from 1")),
        ([report(0, 1.0)], [(1, "SIGKILL")], launch.RankError("rank 1 was killed by SIGKILL")),
        ([report(0, 1.0)], [(1, "SIGABRT")], launch.RankError("RuntimeError: from 0")),
        ([], [(1, "SIGABRT")], launch.RankError("rank 1 was killed by SIGABRT")),
        ([], [], launch.RankError("torchrun ended with code 1")),
        ([report(1, 1.0, out_of_memory=True)], [], MemoryError("RuntimeError: from 1")),
        ([report(1, 1.0, diverged="not finite")], [], DivergedError("not finite", {})),
        ([report(0, 1.0, os_error=[28, "full", "/x"])], [], OSError(28, "full", "/x")),
    ],
)
def test_the_first_cause_is_what_is_told(tmp_path, reports, killed, expected):
    (tmp_path / LOG).write_text("the log")
    for entry in reports:
        write_json(tmp_path / f"error-{entry['rank']}.json", entry)
    if killed:
        write_json(tmp_path / ENDED, [{"rank": r, "signal": s} for r, s in killed])
    error = launch._error(tmp_path, 1)
    assert (type(error), str(error)) == (type(expected), str(expected))
