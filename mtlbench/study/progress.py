"""How far a study is: live bars on a terminal, one plain line an epoch elsewhere."""

import time
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from mtlbench.study.agenda import Work
from mtlbench.study.design import Run
from mtlbench.training.state import EpochRow


class Progress(Protocol):
    """What is shown of a study while it is driven."""

    def begun(self, run: Run, label: str) -> None:
        """A run is handed out, perhaps again."""

    def epoch(self, run: Run, row: EpochRow) -> None:
        """A run has finished an epoch."""

    def ended(self, run: Run, state: str, work: Work) -> None:
        """A run is complete, pruned, or has failed for good; this is what there is to do."""

    def note(self, message: str) -> None:
        """Something worth a line."""

    def tick(self, work: Work) -> None:
        """Time has passed; this is what there is to do."""

    def close(self) -> None:
        """Nothing more comes."""


class _Clock:
    """Time left, from the optimisation steps seen since the first run began."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._now: dict[str, int] = {}
        self._closed = 0

    def start(self) -> None:
        self._began = self._began or time.monotonic()

    def advance(self, name: str, step: int) -> None:
        self._now[name] = step

    def close(self, name: str) -> None:
        self._closed += self._now.pop(name, 0)

    def left(self, work: Work) -> str:
        """`  3m10s left`, or nothing before anything has been measured."""
        running = sum(self._now.values())
        if self._began is None or not self._closed + running:
            return ""
        per_step = (time.monotonic() - self._began) / (self._closed + running)
        return f"  {_duration(max(0, work.steps_left - running) * per_step)} left"


class PlainProgress:
    """One line an epoch on stderr: fit for a log file."""

    def __init__(self, console: Console) -> None:
        """Nothing is printed yet."""
        self._console = console
        self._clock = _Clock()
        self._labels: dict[str, str] = {}
        self._work = Work(0, 0, 0)

    def begun(self, run: Run, label: str) -> None:
        """Nothing is printed: the first epoch says it."""
        self._clock.start()
        self._labels[run.hash] = label

    def epoch(self, run: Run, row: EpochRow) -> None:
        """Run, epoch, losses, validation metrics, time left."""
        self._clock.advance(run.hash, _whole(row["step"]))
        done = f"epoch {_whole(row['epoch'])}/{run.epochs}"
        self.note(f"{self._labels[run.hash]}  {done}  {_values(row)}{self._left()}")

    def ended(self, run: Run, state: str, work: Work) -> None:
        """The run, how it ended, and how much is done."""
        self._clock.close(run.hash)
        self._work = work
        done = f"{work.done} of {work.total} done"
        failed = f", {work.failed} failed" if work.failed else ""
        self.note(f"{self._labels.pop(run.hash)}  {state}: {done}{failed}{self._left()}")

    def note(self, message: str) -> None:
        """The message."""
        self._console.print(message, highlight=False, markup=False, soft_wrap=True)

    def tick(self, work: Work) -> None:
        """Nothing is printed: a log has no clock."""
        self._work = work

    def close(self) -> None:
        """Nothing to close."""

    def _left(self) -> str:
        return self._clock.left(self._work) if self._work.total else ""


class LiveProgress:
    """A bar for the study and one for each run that is being computed."""

    def __init__(self, console: Console) -> None:
        """Bars appear with the first run."""
        self._clock = _Clock()
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),  # `joint [trial 9]` is a label
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[values]}", markup=False),
            console=console,
        )
        self._study = self._bars.add_task("study", total=None, values="")
        self._runs: dict[str, TaskID] = {}
        self._bars.start()

    def begun(self, run: Run, label: str) -> None:
        """A bar for the run."""
        self._clock.start()
        if run.hash not in self._runs:
            self._runs[run.hash] = self._bars.add_task(label, total=run.epochs, values="starting")

    def epoch(self, run: Run, row: EpochRow) -> None:
        """Move the run's bar."""
        self._clock.advance(run.hash, _whole(row["step"]))
        self._bars.update(self._runs[run.hash], completed=_whole(row["epoch"]), values=_values(row))

    def ended(self, run: Run, state: str, work: Work) -> None:
        """Take the run's bar away."""
        self._clock.close(run.hash)
        self._bars.remove_task(self._runs.pop(run.hash))
        self.tick(work)

    def note(self, message: str) -> None:
        """A line above the bars."""
        self._bars.console.print(message, highlight=False, markup=False)

    def tick(self, work: Work) -> None:
        """Move the study's bar and renew the time left."""
        left = self._clock.left(work).strip()
        self._bars.update(self._study, total=work.total, completed=work.done, values=left)

    def close(self) -> None:
        """Leave the last state of the bars standing."""
        self._bars.stop()


def _whole(value: str | float | None) -> int:
    return int(value or 0)


def _values(row: EpochRow) -> str:
    """The numbers of an epoch that exist, in a fixed order."""
    names = {
        "loss": "loss", "loss_cls": "cls", "loss_seg": "seg", "val_auc": "val AUC",
        "val_dice": "val Dice",
    }  # fmt: skip
    return "  ".join(
        f"{label} {value:.3f}" for key, label in names.items() if (value := row[key]) is not None
        and isinstance(value, float)
    )  # fmt: skip


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"
