"""What keeps jobs: Slurm, or a few processes of this machine. What lives there, and how it ends."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Protocol

from mtlbench.processes import kill_group
from mtlbench.study.executors.jobs import Ticket, has_begun

ASK_S = 10.0
"""How old what Slurm says may be: it serves many users."""
END_S = 30.0


class Queue(Protocol):
    """Where jobs wait and live."""

    minutes: int
    """What a job may take where the study file does not say; it goes on from its checkpoint."""
    look_s: float
    """How often to ask for what is as of now."""

    def submitted(self, job: Any) -> None:
        """Take note of a new job, as submitit gives it."""
        ...

    def lives(self, folder: Path, ticket: Ticket, *, fresh: bool = False) -> bool:
        """Whether the run's job waits or runs; `fresh`: as of now."""
        ...

    def stop(self, ticket: Ticket) -> None:
        """Let the job write a checkpoint and end; one that waits does not begin."""
        ...

    def kill(self, ticket: Ticket) -> None:
        """End the job with all of its processes."""
        ...

    def close(self) -> None:
        """Wait for what a job leaves behind for a moment."""
        ...


class Slurm:
    """Jobs of `sbatch`."""

    minutes = 240
    look_s = 2.0

    def __init__(self) -> None:
        """Ask at the first question."""
        self._ids: set[str] = set()
        self._asked_at = float("-inf")

    def submitted(self, job: Any) -> None:
        """See `Queue`: what Slurm said before does not have it."""
        self._asked_at = float("-inf")

    def lives(self, folder: Path, ticket: Ticket, *, fresh: bool = False) -> bool:
        """See `Queue`. While Slurm does not answer, everything lives."""
        if ticket.id is None:
            return has_begun(folder)
        if fresh or time.monotonic() - self._asked_at > ASK_S:
            command = ["squeue", "--noheader", "--format=%A", f"--user={os.getuid()}"]
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
            if answer.returncode != 0:
                return True
            self._ids = set(answer.stdout.split())
            self._asked_at = time.monotonic()
        return ticket.id in self._ids

    def stop(self, ticket: Ticket) -> None:
        """See `Queue`."""
        self._cancel(ticket, "--state=PENDING")
        self._cancel(ticket, "--signal=TERM")

    def kill(self, ticket: Ticket) -> None:
        """See `Queue`; Slurm itself sends SIGKILL after SIGTERM."""
        self._cancel(ticket)

    def close(self) -> None:
        """See `Queue`: nothing."""

    def _cancel(self, ticket: Ticket, *options: str) -> None:
        if ticket.id is not None:
            command = ["scancel", *options, ticket.id]
            subprocess.run(command, capture_output=True, check=False)


class Local:
    """Jobs of submitit's local executor: a process that controls the job's, which outlive us."""

    minutes = 7 * 24 * 60
    look_s = 0.1

    def __init__(self) -> None:
        """No job yet."""
        self._jobs: list[Any] = []

    def submitted(self, job: Any) -> None:
        """See `Queue`."""
        self._jobs.append(job)

    def lives(self, folder: Path, ticket: Ticket, *, fresh: bool = False) -> bool:
        """See `Queue`."""
        alive = has_begun(folder) or _ours(ticket.id) is not None
        self._reap()
        return alive

    def stop(self, ticket: Ticket) -> None:
        """See `Queue`: whoever controls the job passes it on."""
        for pid in (_ours(ticket.id), _ours(ticket.pid)):
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)

    def kill(self, ticket: Ticket) -> None:
        """See `Queue`: first who would start it again."""
        if (controller := _ours(ticket.id)) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(controller, signal.SIGKILL)
        if (leader := _ours(ticket.pid)) is not None:
            kill_group(leader)

    def close(self) -> None:
        """See `Queue`: who controls a job ends just after it."""
        until = time.monotonic() + END_S
        while self._reap() and time.monotonic() < until:
            time.sleep(0.02)

    def _reap(self) -> list[Any]:
        self._jobs = [job for job in self._jobs if not job.done()]
        return self._jobs


def _ours(pid: str | int | None) -> int | None:
    """The process where it is a job of this machine, or controls one: numbers are used again."""
    with contextlib.suppress(OSError):
        if pid is not None and b"submitit" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return int(pid)
    return None


QUEUES: dict[str, type[Slurm | Local]] = {"slurm": Slurm, "local": Local}
