"""Slurm: one job a run, through submitit, which can also run jobs on this machine.

A job outlives its driver. The next driver finds it by its ticket (`jobs`) and follows it instead of
submitting another. Preempted, or near its time limit, a job writes the run's checkpoint and queues
again. submitit keeps what it submits as pickles in `<results>/slurm`, which nobody but us writes;
how a job went is read from its ticket, never from a pickle.
"""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mtlbench.config import ResourcesConfig
from mtlbench.errors import StudyError
from mtlbench.study.executors.base import Ended, Kind
from mtlbench.study.executors.local import STOP_S
from mtlbench.training.run import Task

try:
    import submitit
except ModuleNotFoundError:
    raise StudyError("--executor slurm needs the extra: pip install 'mtlbench[slurm]'") from None

from mtlbench.study.executors.jobs import (
    Job,
    Ticket,
    drop_ticket,
    issue,
    number,
    read_ticket,
    withdraw,
)
from mtlbench.study.executors.queues import QUEUES

LOOK_S = 0.1
KILL_S = 10.0
"""How long a killed job may take to be gone."""


class SlurmExecutor:
    """As many jobs at a time as there are slots."""

    def __init__(
        self, places: Sequence[tuple[str, ...]], resources: ResourcesConfig, folder: Path
    ) -> None:
        """Submit to Slurm where there is `sbatch`, else to this machine.

        Raises:
            StudyError: `resources.slurm` is wrong.
        """
        self.slots = len(places)
        self._places = list(places)
        options = dict(resources.slurm)
        self._cluster = str(options.pop("cluster", "slurm" if shutil.which("sbatch") else "local"))
        if self._cluster not in QUEUES:
            raise StudyError(
                f"resources.slurm.cluster: must be one of {sorted(QUEUES)}, "
                f"but got {self._cluster!r}"
            )
        self._queues = {name: queue() for name, queue in QUEUES.items()}
        self._logs = folder.resolve() / "slurm"
        defaults = _defaults(places[0], resources, self._queues[self._cluster].minutes)
        try:
            self._jobs = submitit.AutoExecutor(self._logs / "%j", cluster=self._cluster)
            self._jobs.update_parameters(**defaults | options)
        except (NameError, AssertionError, ValueError, TypeError, RuntimeError) as error:
            raise StudyError(f"resources.slurm: {error}") from None
        self._followed: dict[str, Path] = {}
        self._refused: list[Ended] = []
        self._killed: set[str] = set()
        """Runs whose job was asked to end by us, since it hung."""

    def submit(self, task: Task) -> None:
        """Submit a job for the run, or follow the one that it has."""
        paths = {name: getattr(task, name).resolve() for name in ("folder", "prepared", "cases")}
        folder = paths["folder"]
        ticket = Ticket(self._cluster, self._free_place())
        self._followed[folder.name] = folder
        if self._works_on(folder) or not issue(folder, ticket):
            return
        try:
            self._send(replace(task, **paths, devices=self._seen(ticket.devices)), ticket)
        except Exception as error:
            # sbatch refuses for reasons of its own: one run's trouble, not the study's.
            drop_ticket(folder)
            del self._followed[folder.name]
            self._refused.append(Ended(folder.name, f"its job was not taken: {error}"))

    def adopts(self, folder: Path) -> bool:
        """Whether a job of the run waits or runs."""
        return self._works_on(folder.resolve())

    def wait(self, timeout_s: float) -> list[Ended]:
        """Runs whose ticket is gone or says why, and those whose job is gone without a word."""
        until = time.monotonic() + timeout_s
        while True:
            ended, self._refused = self._refused, []
            ended += [found for name in list(self._followed) if (found := self._look(name))]
            if ended or time.monotonic() >= until:
                return ended
            time.sleep(LOOK_S)

    def kill(self, run: str) -> None:
        """End the run's job with all of its processes."""
        folder = self._followed.get(run)
        if folder and (ticket := read_ticket(folder)):
            self._killed.add(run)
            self._queues[ticket.cluster].kill(ticket)

    def close(self) -> None:
        """Let the jobs write checkpoints, cancel those that wait, then kill what is left."""
        followed = self._tickets()
        for folder, ticket in followed.items():
            withdraw(folder)
            self._queues[ticket.cluster].stop(ticket)
        for folder, ticket in self._still_there(followed, STOP_S).items():
            self._queues[ticket.cluster].kill(read_ticket(folder) or ticket)
        left = self._still_there(followed, KILL_S)
        for folder in set(followed) - set(left):
            drop_ticket(folder)
        self._followed.clear()
        for queue in self._queues.values():
            queue.close()

    def _send(self, task: Task, ticket: Ticket) -> None:
        self._jobs.update_parameters(name=task.folder.name)
        with _sigint_blocked():
            job = self._jobs.submit(Job(task, ticket.token, os.environ.get("CUDA_VISIBLE_DEVICES")))
        self._queues[self._cluster].submitted(job)
        number(task.folder, ticket, job.job_id)

    def _look(self, name: str) -> Ended | None:
        folder = self._followed[name]
        if self._works_on(folder):
            return None
        ticket = read_ticket(folder)  # again: it may have ended since
        drop_ticket(folder)
        del self._followed[name]
        was_killed = name in self._killed
        self._killed.discard(name)
        if ticket is None:
            return Ended(name, None)
        logs = self._logs / str(ticket.id)
        reason = ticket.reason or f"its job {ticket.id} ended without a word: see {logs}"
        kind = Kind.DIED if was_killed and ticket.kind == Kind.ASKED else ticket.kind
        return Ended(name, reason, kind)

    def _works_on(self, folder: Path) -> bool:
        """Whether the run has a job that waits or runs."""
        ticket = read_ticket(folder)
        return bool(
            ticket and not ticket.reason and self._queues[ticket.cluster].lives(folder, ticket)
        )

    def _still_there(self, followed: Mapping[Path, Ticket], within_s: float) -> dict[Path, Ticket]:
        """Those jobs that are not gone within the time."""
        left, until = dict(followed), time.monotonic() + within_s
        while True:
            left = {
                folder: ticket
                for folder, ticket in left.items()
                if self._queues[ticket.cluster].lives(folder, ticket, fresh=True)
            }
            if not left or time.monotonic() >= until:
                return left
            time.sleep(max(self._queues[ticket.cluster].look_s for ticket in left.values()))

    def _tickets(self) -> dict[Path, Ticket]:
        found = {folder: read_ticket(folder) for folder in self._followed.values()}
        return {folder: ticket for folder, ticket in found.items() if ticket is not None}

    def _free_place(self) -> tuple[str, ...]:
        free = list(self._places)
        for ticket in self._tickets().values():
            if ticket.devices in free and len(free) > 1:
                free.remove(ticket.devices)
        return free[0]

    def _seen(self, place: tuple[str, ...]) -> tuple[str, ...]:
        """The devices as the job sees them: Slurm numbers those it gives from 0."""
        if self._cluster == "local" or not place[0].startswith("cuda"):
            return place
        return tuple(f"cuda:{rank}" for rank in range(len(place)))


def _defaults(place: tuple[str, ...], resources: ResourcesConfig, minutes: int) -> dict[str, int]:
    """What a job asks for where `resources.slurm` does not say."""
    asked = {"timeout_min": minutes, "cpus_per_task": resources.threads * len(place)}
    if place[0].startswith("cuda") and not any("gpu" in k or "gres" in k for k in resources.slurm):
        asked["gpus_per_node"] = len(place)
    return asked


@contextlib.contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Let a process that is started here not hear Ctrl-C, which is the driver's to handle."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
