"""Each tracker in a process of its own that may not use the network, killed, and started again.

What was written is read back with the tool's own reader; W&B's file, which has none that works
offline, with one of its LevelDB framing written here and W&B's own protocol buffers.
"""

import json
import os
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from mtlbench.errors import StudyError
from mtlbench.study.listeners import Listeners
from mtlbench.study.trackers import TRACKERS, open_trackers
from mtlbench.study.trackers.base import file_name, flat

NAME = "0123456789abcdef"
LABEL = "joint [loss.lambda=0.1, model.weights=a/b] seed 0"
CONFIG = {
    "seed": 0,
    "fold": None,
    "model": {"backbone": "small"},
    "size": [64, 48],
    "loss": {},
    "stages": [{"name": "joint", "cls_weight": 0.1}],
}
RECORD = {
    "state": "complete",
    "validation": {"auc": 0.75, "dice": None},
    "wall_s": 1.5,
    "error": None,
}

SCRIPT = """
import json, os, sys
from pathlib import Path

def forbid(event, args):
    unix = event == "socket.connect" and isinstance(args[1], str | bytes)
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo") and not unix:
        os.write(2, f"network: {event} {args}".encode())
        os._exit(99)

sys.addaudithook(forbid)
from mtlbench.study.trackers import open_trackers
assert not {"mlflow", "wandb", "tensorboard"} & set(sys.modules), "loaded before asked for"
tool, folder, first, last, end, name, label, config, record = json.loads(sys.argv[1])
(tracker,) = open_trackers([tool], Path(folder), "demo")
tracker.begun(name, label, config)
tracker.begun(name, label, config)
for epoch in range(first, last + 1):
    row = {"stage": "joint", "epoch": epoch, "step": 10.0 * epoch, "loss": 1 / epoch}
    tracker.epoch(name, row | {"val_auc": None if epoch == 1 else 0.5})
print(Path(f"/proc/self/task/{os.getpid()}/children").read_text(), flush=True)
if end == "kill":
    os.kill(os.getpid(), 9)
if end == "end":
    tracker.ended(name, record)
tracker.close()
"""


@pytest.fixture
def run(tmp_path):
    """Drive a tracker through epochs `first` to `last`, then kill, close or end; its children."""
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0)
        proxy = f"http://127.0.0.1:{canary.getsockname()[1]}"
        names = [name for p in ("http", "https") for name in (f"{p}_proxy", f"{p}_proxy".upper())]
        hidden = ("CI", "GITHUB_ACTIONS", "PYTEST_CURRENT_TEST", "NO_PROXY", "no_proxy")
        usual = {key: value for key, value in os.environ.items() if key not in hidden}
        environment = usual | dict.fromkeys(names, proxy) | {"OMP_NUM_THREADS": "1"}

        def drive(tool, first, last, end):
            pytest.importorskip(tool)
            told = [tool, str(tmp_path), first, last, end, NAME, LABEL, CONFIG, RECORD]
            done = subprocess.run(
                [sys.executable, "-c", SCRIPT, json.dumps(told)],
                env=environment, capture_output=True, text=True, cwd=tmp_path, check=False,
            )  # fmt: skip
            assert done.returncode == (-9 if end == "kill" else 0), done.stderr
            assert done.stderr == ""
            return [int(pid) for pid in done.stdout.split()]

        yield drive
        with pytest.raises(BlockingIOError):  # neither it nor a child of it called a proxy
            canary.accept()


@pytest.fixture
def once(tmp_path):
    """Tell a tracker of one run in this process, from its beginning to its end."""

    def tell(tool, record):
        pytest.importorskip(tool)
        (tracker,) = open_trackers([tool], tmp_path, "demo")
        tracker.begun(NAME, LABEL, CONFIG)
        tracker.ended(NAME, record)
        tracker.ended(NAME, record)
        tracker.close()

    return tell


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}


def mlflow_runs(folder):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'trackers/mlflow/mlflow.db'}")
    experiment = client.get_experiment_by_name("demo")
    return client, client.search_runs([experiment.experiment_id])


def wandb_records(path):
    """Records of a .wandb file: LevelDB's log format with another checksum and a 7-byte header."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        checksum, size, kind = struct.unpack_from("<IHB", data, at)
        body = data[at + 7 : at + 7 + size]
        assert zlib.crc32(bytes([kind]) + body) == checksum
        whole += body
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(whole)
            whole = b""
        at += 7 + size


def items(update):
    return {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in update}


def test_tensorboard_shows_a_resumed_run_once(run, tmp_path):
    run("tensorboard", 1, 3, "kill")
    (folder,) = (tmp_path / "trackers/tensorboard").iterdir()
    assert folder.name == f"joint [loss.lambda=0.1, model.weights=a_b] seed 0 {NAME}"
    before = scalars(folder)
    assert before["loss"] == [(10, 1), (20, 0.5), (30, pytest.approx(1 / 3))]
    assert before["val_auc"] == [(20, 0.5), (30, 0.5)]
    run("tensorboard", 1, 4, "end")
    assert list((tmp_path / "trackers/tensorboard").iterdir()) == [folder]
    after = scalars(folder)
    assert after["loss"] == [*before["loss"], (40, 0.25)]
    assert after["validation/auc"] == [(0, 0.75)]


def test_tensorboard_has_the_configuration_for_its_hparams_tab(once, tmp_path):
    once("tensorboard", {"state": "failed", "error": "why"})
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    (folder,) = (tmp_path / "trackers/tensorboard").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    stored = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    hparams = metadata.parse_session_start_info_plugin_data(stored).hparams
    assert hparams["stages.0.cls_weight"].number_value == 0.1
    assert hparams["model.backbone"].string_value == "small"
    assert events.Tensors("state/text_summary")[0].tensor_proto.string_val == [b"failed: why"]


def test_mlflow_shows_a_resumed_run_once(run, tmp_path):
    run("mlflow", 1, 3, "kill")
    client, (found,) = mlflow_runs(tmp_path)
    assert found.info.status == "RUNNING"
    run("mlflow", 1, 3, "close")
    assert mlflow_runs(tmp_path)[1][0].info.status == "KILLED"
    run("mlflow", 1, 4, "end")
    client, (again,) = mlflow_runs(tmp_path)
    assert again.info.run_id == found.info.run_id
    assert (again.info.run_name, again.info.status) == (LABEL, "FINISHED")
    assert again.data.tags["mtlbench.run"] == NAME
    history = client.get_metric_history(found.info.run_id, "loss")
    assert {(m.step, m.value) for m in history} == {(10, 1), (20, 0.5), (30, 1 / 3), (40, 0.25)}
    assert {m.step for m in client.get_metric_history(found.info.run_id, "val_auc")} == {20, 30, 40}
    assert again.data.metrics["validation/auc"] == 0.75
    assert again.data.params == {key: str(value) for key, value in flat(CONFIG).items()}
    assert not (tmp_path / "mlruns").exists()


def test_mlflow_says_what_failed(once, tmp_path):
    once("mlflow", {"state": "failed", "error": "out of memory"})
    (found,) = mlflow_runs(tmp_path)[1]
    assert found.info.status == "FAILED"
    assert found.data.tags["error"] == "out of memory"


def test_wandb_resumes_under_the_same_id(run, tmp_path, wait_for):
    children = run("wandb", 1, 3, "kill")
    assert children
    run("wandb", 1, 4, "end")
    wait_for(lambda: not any(map(lives, children)))
    files = sorted((tmp_path / "trackers/wandb").glob("offline-run-*/*.wandb"))
    assert [file.name for file in files] == [f"run-{NAME}.wandb"] * 2
    records = list(wandb_records(files[1]))
    (started,) = [r.run for r in records if r.HasField("run")]
    assert (started.run_id, started.project, started.display_name) == (NAME, "demo", LABEL)
    assert started.resume
    assert items(started.config.update) == {"_wandb": {}} | CONFIG
    rows = [items(r.history.item) for r in records if r.HasField("history")]
    assert [row["_step"] for row in rows] == [10, 20, 30, 40]
    assert [row["loss"] for row in rows] == [1, 0.5, 1 / 3, 0.25]
    assert ["val_auc" in row for row in rows] == [False, True, True, True]
    summary = {}
    for record in records:
        summary |= items(record.summary.update)
    assert (summary["validation/auc"], summary["state"]) == (0.75, "complete")


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("tool", TRACKERS)
def test_a_missing_extra_is_named(tool, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    for name in [m for m in sys.modules if m.split(".")[0] == tool]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, tool, None)
    with pytest.raises(StudyError, match=rf"--tracker {tool} needs .*'mtlbench\[{tool}\]'"):
        open_trackers([tool], tmp_path, "demo")


class Silent:
    """A progress that shows nothing."""

    def __getattr__(self, name):
        return lambda *_: None


def test_a_tracker_that_cannot_be_opened_is_left_out(tmp_path, capsys):
    pytest.importorskip("mlflow")
    (tmp_path / "trackers").write_text("in the way")
    assert open_trackers(["mlflow"], tmp_path, "demo") == []
    assert capsys.readouterr().err.startswith("mlflow cannot be opened and is left out: ")


def test_a_tracker_that_fails_says_so_once(tmp_path, capsys):
    pytest.importorskip("tensorboard")
    (tmp_path / "trackers").write_text("in the way")
    run = type("Run", (), {"hash": NAME, "config": CONFIG})
    listeners = Listeners(Silent(), open_trackers(["tensorboard"], tmp_path, "demo"))
    listeners.begun(run, LABEL)
    listeners.epoch(run, {"stage": "joint", "epoch": 1, "step": 10, "loss": 1.0})
    listeners.close()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("TensorboardTracker fails")


def test_names_of_folders_are_legal_everywhere():
    assert file_name("joint [model.weights=C:\\x/y?*|] ") == "joint [model.weights=C__x_y___]"
    assert flat({"a": {"b": [1, 2], "c": None}, "d": [], "e": False}) == {
        "a.b": "[1,2]",
        "e": False,
    }
