"""A run on several devices: torchrun starts a rank per device, this process waits for them.

The three kinds of process meet in a scratch folder on this machine: the task, what came of it or
what broke it in which rank, and the log. `training/rank.py` is the other side.
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mtlbench.config import ResourcesConfig
from mtlbench.records import read_json, write_json
from mtlbench.training.attempt import Task
from mtlbench.training.checkpoint import Stopped, StopRequest
from mtlbench.training.rank import ENDED, LOG, MEETING, OUTCOME, PARENT, TASK
from mtlbench.training.state import DivergedError

_POLL_S = 0.1
_LOG_CHARS = 4000


class RankError(RuntimeError):
    """What broke a rank, as that rank says it; a rank that was killed says nothing."""


def compute_on_ranks(task: Task, stop: StopRequest) -> dict[str, Any]:
    """Compute a run in a process per device; give what its record says at the end.

    The caller holds the folder's lock. When this process is killed, the others end with it.

    Raises:
        Stopped: `stop` was asked, and the first rank was given the time to write a checkpoint.
        OSError: a rank could not read or write.
        MemoryError: the memory of a device or of the machine ran out.
        DivergedError: the loss or the weights are no longer finite; the weights are written.
        RankError: anything else that broke a rank, or who killed it.
    """
    with TemporaryDirectory(prefix="mtlbench-ranks-") as name:
        scratch = Path(name)
        _write_task(scratch / TASK, task)
        with (scratch / LOG).open("wb") as log:
            process = subprocess.Popen(
                _torchrun(scratch, len(task.devices)),
                env=_environment(task),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                _wait(process, stop)
            finally:
                process.kill()
                process.wait()
        if (scratch / OUTCOME).exists():
            outcome: dict[str, Any] = read_json(scratch / OUTCOME)
            return outcome
        if stop.asked:
            raise Stopped
        raise _error(scratch, process.returncode)


def read_task(path: Path) -> Task:
    """Read the task that a rank is given."""
    values = read_json(path)
    return Task(
        Path(values["folder"]),
        Path(values["prepared"]),
        Path(values["cases"]),
        values["config"],
        tuple(values["devices"]),
        ResourcesConfig(**values["resources"]),
        None if values["weights"] is None else Path(values["weights"]),
        values["sharers"],
    )


def _write_task(path: Path, task: Task) -> None:
    values = {
        "folder": str(task.folder),
        "prepared": str(task.prepared),
        "cases": str(task.cases),
        "config": dict(task.config),
        "devices": task.devices,
        "resources": task.resources.model_dump(mode="json"),
        "weights": None if task.weights is None else str(task.weights),
        "sharers": task.sharers,
    }
    write_json(path, values)


def _torchrun(scratch: Path, ranks: int) -> list[str]:
    """The command. It is `--standalone`, but with files where that opens a port to the network."""
    module = ("-m", "mtlbench.training.rank")
    return [
        sys.executable, *module, "torchrun", str(scratch),
        "--nnodes=1", f"--nproc-per-node={ranks}", "--max-restarts=0",
        "--rdzv-backend=c10d", "--rdzv-conf=store_type=file", "--rdzv-id=run",
        f"--rdzv-endpoint={scratch / MEETING}-of-agents", "--local-addr=127.0.0.1",
        f"--log-dir={scratch / 'torchrun'}", *module, "rank", str(scratch),
    ]  # fmt: skip


def _environment(task: Task) -> dict[str, str]:
    return {
        **os.environ,
        PARENT: str(os.getpid()),
        "OMP_NUM_THREADS": str(task.config["threads"]),
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # it listens on every interface
    }


def _wait(process: subprocess.Popen[bytes], stop: StopRequest) -> None:
    """Until torchrun has ended; a stop that is asked is passed on, by torchrun to all ranks."""
    passed_on = False
    while process.poll() is None:
        if stop.asked and not passed_on:
            process.terminate()
            passed_on = True
        try:
            process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            continue


def _error(scratch: Path, code: int) -> Exception:
    """The first cause: what one rank dies of, the others soon report as a lost connection."""
    reports = sorted((read_json(p) for p in scratch.glob("error-*.json")), key=lambda r: r["at"])
    killed = read_json(scratch / ENDED) if (scratch / ENDED).exists() else []
    # torch ends ranks by SIGTERM, and a rank that gave up by SIGABRT: effects, not causes
    from_outside = [end for end in killed if end["signal"] not in ("SIGTERM", "SIGABRT")]
    error: Exception
    if from_outside or not reports:
        ends = from_outside or killed
        said = [f"rank {end['rank']} was killed by {end['signal']}" for end in ends]
        error = RankError("; ".join(said) or f"torchrun ended with code {code}")
        log = (scratch / LOG).read_text(encoding="utf-8", errors="replace")
        error.add_note(log[-_LOG_CHARS:])
        return error
    first = reports[0]
    if first["out_of_memory"]:
        error = MemoryError(first["reason"])
    elif first["os_error"] is not None:
        error = OSError(*first["os_error"])
    elif first["diverged"] is not None:
        error = DivergedError(first["diverged"], {})  # the rank has written its weights
    else:
        error = RankError(first["reason"])
    error.add_note(f"In rank {first['rank']}:\n{first['traceback']}")
    return error
