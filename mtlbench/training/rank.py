"""The processes of a run on several devices: torchrun, and below it a rank per device.

Each binds itself to the process that started it before anything else, so that none outlives the
run's own process; torch, which takes seconds to import, is imported after that. The other side,
`training/launch.py`, starts torchrun and reads what is left here in the scratch folder.
"""

import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from mtlbench.processes import end_with_parent
from mtlbench.records import write_json

PARENT = "MTLBENCH_RANK_PARENT"
"""The environment variable with the pid of the process that starts one of these."""
TASK, OUTCOME, ENDED, LOG = "task.json", "outcome.json", "ended.json", "log.txt"
MEETING = "meeting"


def main() -> None:
    """`torchrun SCRATCH ARGUMENTS...` or `rank SCRATCH`."""
    _bind()
    role, scratch, *arguments = sys.argv[1:]
    if role == "torchrun":
        _torchrun(Path(scratch), arguments)
    else:
        _rank(Path(scratch))


def _bind() -> None:
    """End with the parent, also if that has been killed before this line."""
    end_with_parent()
    if os.getppid() != int(os.environ[PARENT]):
        os._exit(1)
    os.environ[PARENT] = str(os.getpid())


def _torchrun(scratch: Path, arguments: list[str]) -> None:
    # A batch system sends SIGUSR1 to all processes of a job: it is for the run's own, which passes
    # on SIGTERM.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        run.main(arguments)
    except ChildFailedError as error:
        killed = [
            {"rank": rank, "signal": failure.signal_name()}
            for rank, failure in error.failures.items()
            if failure.exitcode < 0
        ]
        write_json(scratch / ENDED, killed)
        raise


def _rank(scratch: Path) -> None:
    from mtlbench.training.checkpoint import Stopped

    index = int(os.environ["RANK"])
    try:
        outcome = _compute(scratch, index)
    except Stopped:
        return
    except Exception as error:
        write_json(scratch / f"error-{index}.json", _report(index, error))
        raise SystemExit(1) from error
    if index == 0:
        write_json(scratch / OUTCOME, outcome)


def _compute(scratch: Path, index: int) -> dict[str, Any]:
    import torch

    from mtlbench.training.attempt import Attempt
    from mtlbench.training.checkpoint import StopRequest
    from mtlbench.training.host import set_up_host
    from mtlbench.training.launch import read_task
    from mtlbench.training.ranks import SharedCheckpoints, SharedContact, join_ranks

    task = read_task(scratch / TASK)
    set_up_host(task.config["threads"])
    ranks = join_ranks(torch.device(task.devices[index]), scratch / MEETING)
    stop = StopRequest()
    stop.listen()  # not before: until the ranks have met, there is nothing to save
    checkpoints = SharedCheckpoints(task.folder, task.resources, stop, ranks)
    return Attempt(task, SharedContact(task.folder, ranks), checkpoints, ranks).run()


def _report(index: int, error: Exception) -> dict[str, Any]:
    from mtlbench.training.rehearsal import is_out_of_memory
    from mtlbench.training.state import DivergedError

    return {
        "rank": index,
        "at": time.time(),
        "reason": f"{type(error).__name__}: {error}",
        "traceback": "".join(traceback.format_exception(error)),
        "out_of_memory": is_out_of_memory(error),
        "os_error": _os_error(error),
        "diverged": str(error) if isinstance(error, DivergedError) else None,
    }


def _os_error(error: Exception) -> list[Any] | None:
    """What an OSError is made of; None for any other."""
    if not isinstance(error, OSError) or error.errno is None:
        return None
    return [error.errno, error.strerror, None if error.filename is None else str(error.filename)]


if __name__ == "__main__":
    main()
