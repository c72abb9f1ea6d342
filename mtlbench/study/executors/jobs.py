"""A run as a job of a queue, and its ticket: who computes it, across the deaths of drivers.

`job.json` in a run's folder says that a job is on its way. It is written before the job is
submitted and removed when the job has done its run, so a driver that comes after a killed one finds
every job. A job holds `job.lock` while it lives and looks at the ticket first: without its own
token there it leaves, hence a run is never computed by two jobs, whoever was killed when.

| ticket         | job.lock | the job                                     | what a driver does   |
|----------------|----------|---------------------------------------------|----------------------|
| none           | free     | none, or it has done its run, or will leave | submits one          |
| no `id`        | free     | its driver was killed as it submitted it    | submits another      |
| `id`, no `pid` | free     | waits in the queue, or imports              | follows it           |
| `id`, `pid`    | held     | computes                                    | follows it           |
| `id`, `pid`    | free     | was preempted and waits, or died            | asks the queue which |
| `reason`       | free     | has ended without its run being done        | submits another      |

A run belongs to whoever holds the run's own lock. So where the next driver has another executor, it
waits for a run whose job computes, and computes the others itself: their jobs, when their turn
comes, find the run complete or locked, and leave.
"""

import contextlib
import os
import secrets
import signal
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout
from submitit import JobEnvironment
from submitit.helpers import DelayedSubmission

from mtlbench.records import read_json, write_json
from mtlbench.study.executors.base import Ended, Kind
from mtlbench.training.checkpoint import Stopped, StopRequest
from mtlbench.training.contact import HEARTBEAT
from mtlbench.training.run import Task, execute

TICKET = "job.json"
LOCK = "job.lock"
START_S = 60.0
"""How long a job that starts waits for the lock: the driver holds it for a moment at most."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What is known of a run's job."""

    cluster: str
    devices: tuple[str, ...]
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    id: str | None = None
    """None: not known, since the driver was killed while it submitted the job."""
    pid: int | None = None
    """Of the job's process, which leads a group of its own; None before it has begun."""
    reason: str | None = None
    """Why the job has ended without the run being done."""
    kind: Kind = Kind.DIED
    """What ended it, where there is a reason."""


def read_ticket(folder: Path) -> Ticket | None:
    """Give a run's ticket; None where it has no job."""
    try:
        fields = read_json(folder / TICKET)
    except (FileNotFoundError, ValueError):
        return None
    typed = {"devices": tuple(fields["devices"]), "kind": Kind(fields["kind"])}
    return Ticket(**fields | typed)


def write_ticket(folder: Path, ticket: Ticket) -> None:
    """Replace a run's ticket, atomically."""
    write_json(folder / TICKET, asdict(ticket))


def drop_ticket(folder: Path) -> None:
    """A job that has not begun will leave; one that has ended is forgotten."""
    (folder / TICKET).unlink(missing_ok=True)


def issue(folder: Path, ticket: Ticket) -> bool:
    """Write a new ticket in place of any that is there, unless a job has begun."""
    try:
        with ticket_lock(folder).acquire(timeout=0):
            write_ticket(folder, ticket)
    except Timeout:
        return False
    return True


def number(folder: Path, ticket: Ticket, job_id: str) -> None:
    """Add the job's id to its ticket; a job that has begun has done so itself."""
    with contextlib.suppress(Timeout), ticket_lock(folder).acquire(timeout=0):
        if read_ticket(folder) == ticket:
            write_ticket(folder, replace(ticket, id=job_id))


def withdraw(folder: Path) -> None:
    """Drop the ticket of a job that has not begun: it will leave."""
    with contextlib.suppress(Timeout), ticket_lock(folder).acquire(timeout=0):
        drop_ticket(folder)


def ticket_lock(folder: Path) -> FileLock:
    """Give the lock that a job holds while it lives."""
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / LOCK)


def has_begun(folder: Path) -> bool:
    """Whether a living job holds the lock."""
    try:
        with ticket_lock(folder).acquire(timeout=0):
            return False
    except Timeout:
        return True


class _Notice(StopRequest):
    """Asked to end by SIGTERM, or by the other signals to make room and be queued again.

    A cancelled job gets SIGTERM too, and must not come back.
    """

    requeue = False

    def listen(self) -> None:
        super().listen()
        for name in ("USR1", JobEnvironment.USR_SIG):
            signal.signal(getattr(signal, f"SIG{name}"), self._make_room)

    def _make_room(self, number: int, frame: FrameType | None) -> None:
        self.asked = self.requeue = True


@dataclass(frozen=True)
class Job:
    """What is submitted: called in the job's process, which does one run."""

    task: Task
    token: str
    visible: str | None
    """The driver's CUDA_VISIBLE_DEVICES, for a job on its machine."""

    def __call__(self) -> None:
        """Do the run, unless the ticket says that another job does it.

        Raises:
            Exception: whatever broke the run; the ticket then says so as well.
        """
        number = getattr(signal, f"SIG{JobEnvironment.USR_SIG}")
        requeue = signal.getsignal(number)  # submitit's, which would interrupt the run anywhere
        notice = _Notice()
        notice.listen()
        again = False
        with ticket_lock(self.task.folder).acquire(timeout=START_S):
            ticket = read_ticket(self.task.folder)
            if ticket is not None and ticket.token == self.token:
                again = self._do(ticket, notice)
        if again and callable(requeue):
            requeue(number, None)

    def checkpoint(self) -> DelayedSubmission:
        """For submitit: what to do when the job's turn comes again; the run has its checkpoint."""
        return DelayedSubmission(self)

    def _do(self, ticket: Ticket, notice: _Notice) -> bool:
        """Do the run; tell whether the job is to be queued again."""
        folder = self.task.folder
        if ticket.cluster == "local":
            os.setsid()  # the group can be killed as one; a queue keeps its own account of it
            _set_variable("CUDA_VISIBLE_DEVICES", self.visible)
        ticket = replace(ticket, id=JobEnvironment().job_id, pid=os.getpid())
        write_ticket(folder, ticket)
        try:
            execute(self.task, notice)
        except Stopped:
            if notice.requeue:
                (folder / HEARTBEAT).unlink(missing_ok=True)  # it may be silent while it waits
                return True
            reason = "its job was asked to end"
            write_ticket(folder, replace(ticket, reason=reason, kind=Kind.ASKED))
        except Exception as error:
            ended = Ended.by(folder.name, error)
            with contextlib.suppress(OSError):
                write_ticket(folder, replace(ticket, reason=ended.reason, kind=ended.kind))
            raise
        else:
            drop_ticket(folder)
        return False


def _set_variable(name: str, value: str | None) -> None:
    os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value
