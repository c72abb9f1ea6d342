"""How far a study is: live bars on a terminal, one plain line an epoch elsewhere."""

import time
from collections.abc import Mapping
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from mtlbench.study.design import Design
from mtlbench.training.state import Row


class Progress(Protocol):
    """What the driver tells of its runs."""

    def started(self, name: str) -> None:
        """A run begins."""

    def epoch(self, name: str, row: Row, epochs: int) -> None:
        """A run has finished an epoch."""

    def finished(self, name: str) -> None:
        """A run is complete."""

    def failed(self, name: str, reason: str) -> None:
        """A run has failed for good."""

    def note(self, message: str) -> None:
        """Something worth a line."""

    def tick(self) -> None:
        """Time has passed."""


class _Clock:
    """Time left, from the steps done since the driver began and the steps that remain."""

    def __init__(self, design: Design, states: Mapping[str, str]) -> None:
        self._began: float | None = None
        """When the first run began to train: what came before is not its pace."""
        self._steps = {
            name: run.steps - (design.runs[run.starts_from].steps if run.starts_from else 0)
            for name, run in design.runs.items()
        }
        self._done = {name for name, state in states.items() if state == "complete"}
        self._at_start = set(self._done)
        self._part: dict[str, int] = {}

    def start(self) -> None:
        self._began = self._began or time.monotonic()

    def advance(self, name: str, step: int) -> None:
        self._part[name] = step

    def complete(self, name: str) -> None:
        self._part.pop(name, None)
        self._done.add(name)

    def fail(self, name: str) -> None:
        """Neither done nor still to do."""
        self._part.pop(name, None)
        self._steps.pop(name, None)

    @property
    def counts(self) -> tuple[int, int]:
        return len(self._done), len(self._steps)

    def left_s(self) -> float | None:
        """Seconds left; None before anything has been measured."""
        new = sum(self._steps[name] for name in self._done - self._at_start)
        done = new + sum(self._part.values())
        if not done or self._began is None:
            return None
        remaining = sum(s for name, s in self._steps.items() if name not in self._done)
        remaining -= sum(self._part.values())
        return remaining * (time.monotonic() - self._began) / done


class PlainProgress:
    """One line an epoch on stderr: fit for a log file."""

    def __init__(self, console: Console, design: Design, states: Mapping[str, str]) -> None:
        """`states` are those of the runs when the driver begins."""
        self._console = console
        self._labels = _labels(design)
        self._clock = _Clock(design, states)

    def started(self, name: str) -> None:
        """Nothing is printed: the first epoch says it."""
        self._clock.start()

    def epoch(self, name: str, row: Row, epochs: int) -> None:
        """Run, epoch, losses, validation metrics, time left."""
        self._clock.advance(name, int(row["step"] or 0))
        self._print(
            f"{self._labels[name]}  epoch {row['epoch']}/{epochs}  {_values(row)}{self._left()}"
        )

    def finished(self, name: str) -> None:
        """How many runs are done."""
        self._clock.complete(name)
        done, total = self._clock.counts
        self._print(f"{self._labels[name]}  complete: {done} of {total} runs done{self._left()}")

    def failed(self, name: str, reason: str) -> None:
        """The run and its reason."""
        self._clock.fail(name)
        self._print(f"{self._labels[name]} ({name})  failed: {reason}")

    def note(self, message: str) -> None:
        """The message."""
        self._print(message)

    def tick(self) -> None:
        """Nothing: a log has no clock."""

    def _left(self) -> str:
        left_s = self._clock.left_s()
        return "" if left_s is None else f"  {_duration(left_s)} left"

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class LiveProgress:
    """A bar for the study and one for each run that is being computed."""

    def __init__(self, console: Console, design: Design, states: Mapping[str, str]) -> None:
        """Bars appear with the first run."""
        self._labels = _labels(design)
        self._clock = _Clock(design, states)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[values]}"),
            console=console,
        )
        done, total = self._clock.counts
        self._study = self._bars.add_task("[bold]study", total=total, completed=done, values="")
        self._runs: dict[str, TaskID] = {}
        self._bars.start()

    def started(self, name: str) -> None:
        """A bar for the run."""
        self._clock.start()
        self._runs[name] = self._bars.add_task(self._labels[name], total=None, values="starting")

    def epoch(self, name: str, row: Row, epochs: int) -> None:
        """Move the run's bar and the time left."""
        self._clock.advance(name, int(row["step"] or 0))
        self._bars.update(
            self._runs[name], total=epochs, completed=int(row["epoch"] or 0), values=_values(row)
        )

    def finished(self, name: str) -> None:
        """Take the run's bar away and move the study's."""
        self._clock.complete(name)
        self._bars.remove_task(self._runs.pop(name))
        self._bars.update(self._study, completed=self._clock.counts[0])

    def failed(self, name: str, reason: str) -> None:
        """A line above the bars."""
        self._clock.fail(name)
        if name in self._runs:
            self._bars.remove_task(self._runs.pop(name))
        self.note(f"{self._labels[name]} ({name}) failed: {reason}")

    def note(self, message: str) -> None:
        """A line above the bars."""
        self._bars.console.print(message, highlight=False, markup=False)

    def tick(self) -> None:
        """Renew the time left."""
        left_s = self._clock.left_s()
        values = "" if left_s is None else f"{_duration(left_s)} left"
        self._bars.update(self._study, values=values)

    def close(self) -> None:
        """Leave the last state of the bars standing."""
        self._bars.stop()


def _labels(design: Design) -> dict[str, str]:
    """What a run is called: its cells, or what it is a stage of; its seed and fold."""
    labels: dict[str, str] = {}
    for row in design.rows:
        name = row.cell.label if row.cell else f"stage of {', '.join(design.users(row.run.hash))}"
        fold = "" if row.fold is None else f" fold {row.fold}"
        labels.setdefault(row.run.hash, f"{name} seed {row.seed}{fold}")
    return labels


def _values(row: Row) -> str:
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
