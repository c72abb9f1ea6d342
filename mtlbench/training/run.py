"""One run, from its configuration to its folder, in this process or in a rank per device.

The process that is asked to do it holds the folder's lock and writes the record, whoever computes.
Everything a run writes lies in its folder, and `record.json` is the last to change: a folder whose
record is not `complete` counts for nothing.
"""

import errno
import gc
import math
import os
import socket
import traceback
from datetime import UTC, datetime
from typing import Any

import torch
from filelock import Timeout

from mtlbench.data.prepared import open_prepared
from mtlbench.errors import BusyError, DiskError
from mtlbench.records import RunFolder, write_json
from mtlbench.training.attempt import Attempt, Task
from mtlbench.training.checkpoint import Checkpoints, StopRequest
from mtlbench.training.contact import Contact
from mtlbench.training.host import set_up_host
from mtlbench.training.launch import RankError, compute_on_ranks
from mtlbench.training.provenance import provenance
from mtlbench.training.rehearsal import is_out_of_memory, largest_batch
from mtlbench.training.state import DivergedError

__all__ = ["Task", "execute"]
DISK_FAULTS = {errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO}
"""Faults of the machine, not of the run: it counts as interrupted."""
KEPT = ("compile", "compile_why", "nondeterministic")
"""What an attempt takes from the record of the one before, on the same kind of device."""


def execute(task: Task, stop: StopRequest | None = None) -> None:
    """Do a run, from its checkpoint on; on return its folder is complete, or pruned.

    Once `stop` is asked, a checkpoint is written.

    Raises:
        Stopped: `stop` was asked, and the checkpoint is written.
        BusyError: another process is doing this run.
        DiskError: the disk is full or cannot be written; the run counts as interrupted.
        Exception: whatever broke the run; its record then says `failed` and why.
    """
    folder = RunFolder(task.folder)
    try:
        task.folder.mkdir(parents=True, exist_ok=True)
        with folder.lock().acquire(timeout=10):
            if folder.state(verify=True) not in ("complete", "pruned"):
                _execute(folder, task, stop or StopRequest())
    except Timeout:
        raise BusyError(f"{task.folder}: another process is doing this run") from None
    except OSError as error:
        if error.errno not in DISK_FAULTS:
            raise
        raise DiskError(f"{task.folder} must be writable, but: {error.strerror}") from error


def _execute(folder: RunFolder, task: Task, stop: StopRequest) -> None:
    folder.tidy()
    contact = Contact(folder.path)
    set_up_host(task.config["threads"])
    write_json(folder.path / "config.json", task.config)
    record = _opening_record(folder, task)
    folder.write_record(record)
    checkpoints = Checkpoints(folder.path, task.resources, stop)
    try:
        if len(task.devices) > 1:
            outcome = compute_on_ranks(task, stop)
        else:
            outcome = Attempt(task, contact, checkpoints).run()
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_FAULTS:
            raise
        reason = _reason(error, task)
        folder.write_record(
            (record | folder.record())
            | {"state": "failed", "failures": record["failures"] + 1, "ended": _now()}
            | {"error": reason, "traceback": traceback.format_exc()}
            | {"final": isinstance(error, DivergedError)}  # it would diverge again
        )
        raise
    folder.write_record(record | folder.record() | outcome | {"ended": _now()})
    checkpoints.clear()
    contact.close()


def _reason(error: Exception, task: Task) -> str:
    """What broke the run, in a line; out of memory also says what would fit."""
    reason = str(error) if isinstance(error, RankError) else f"{type(error).__name__}: {error}"
    if not is_out_of_memory(error):
        return reason
    _release(error)
    height, width = open_prepared(task.prepared).images.shape[1:]
    asked, ranks = task.config["optim"]["batch_size"], len(task.devices)
    parts = ranks * task.config["optim"]["accumulate"]
    limit = math.ceil(asked / parts) - 1
    found = largest_batch(task.config, (height, width), limit, torch.device(task.devices[0]))
    if found is None:
        hint = "not even one case does"
    else:
        cases, _ = found
        more = math.ceil(asked / ranks / cases)
        hint = f"{cases * parts} would, and so would optim.accumulate = {more}"
    return f"out of memory: optim.batch_size {asked} does not fit, {hint} ({reason})"


def _release(error: BaseException | None) -> None:
    """Let go of what the frames of an error hold: model and graph would take the hint's place."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()  # a network may hold itself; `fitting_step_s` gives the device its memory back


def _opening_record(folder: RunFolder, task: Task) -> dict[str, Any]:
    before, here = folder.record(), provenance(torch.device(task.devices[0]))
    kept = ("deaths", *(KEPT if before.get("device") == here["device"] else ()))
    return {key: before[key] for key in kept if key in before} | {
        "state": "running",
        "attempts": before.get("attempts", 0) + 1,
        "failures": before.get("failures", 0),
        "seed": task.config["seed"],
        "fold": task.config["fold"],
        **here,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": _now(),
        "error": None,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
