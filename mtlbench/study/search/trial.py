"""A trial of a search: a configuration, its runs, and what their folders say of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mtlbench.config import RunConfig
from mtlbench.records import RunFolder, run_folder
from mtlbench.study.design import Run
from mtlbench.study.retry import given_up
from mtlbench.study.search.pruners import Curve, Judge, Values
from mtlbench.study.watch import read_history
from mtlbench.study.weights import mend, weights_again
from mtlbench.training.state import EpochRow

State = Literal["running", "complete", "pruned", "failed"]


@dataclass(slots=True)
class Trial:
    """One configuration of an arm; it is trained once for each of its instances, in order."""

    number: int
    params: Mapping[str, Any]
    config: RunConfig
    chains: Sequence[Sequence[Run]]
    """For each instance (a seed and fold) the run of every stage; the last one is measured."""
    state: State = "running"
    values: Values | None = None
    done: int = 0
    """Instances whose runs are complete and have been heard."""
    heard: set[int] = field(default_factory=set)
    """Steps that have been reported since this process began."""
    judge: Judge | None = None
    curve: Curve | None = None
    """Of a complete trial, where two objectives are judged."""

    @property
    def runs(self) -> list[str]:
        """Every run's name once, in the order of computation."""
        return list(dict.fromkeys(run.hash for chain in self.chains for run in chain))

    def steps(self, runs: "Runs") -> int:
        """Optimisation steps of its runs that are not complete."""
        left = 0
        for chain in self.chains:
            before = 0
            for run in chain:
                left += 0 if runs.state(run.hash) == "complete" else run.steps - before
                before = run.steps
        return left

    def needs(self, runs: "Runs") -> Run | None:
        """The run to compute next; None where all is complete.

        It is of the first instance that is not complete, and of that the first stage that is not
        complete, or the weights that the next one starts from.
        """
        for chain in self.chains:
            if runs.state(chain[-1].hash) == "complete":
                continue
            wanted = chain[-1]
            for before in reversed(chain[:-1]):
                start = runs.awaited(before)
                if start is None:
                    break
                wanted = start
            return wanted
        return None


class Runs:
    """The run folders of a study, each looked at once until something is known to have changed."""

    def __init__(self, folder: Path, retries: int) -> None:
        """`folder` is results/<study>; a run that has failed more often than `retries` is lost."""
        self._folder = folder
        self._retries = retries
        self._states: dict[str, str] = {}
        self.failures: dict[str, str] = {}
        """Runs that are given up, with their reasons."""

    def folder(self, name: str) -> RunFolder:
        """The run's folder."""
        return run_folder(self._folder, name)

    def state(self, name: str) -> str:
        """The run's state; whether it is given up stands in `failures`."""
        if name not in self._states:
            folder = self.folder(name)
            mend(folder)
            self._states[name] = folder.state()
            record = folder.record()
            if self._states[name] == "failed" and given_up(record, self._retries):
                self.failures[name] = record["error"]
        return self._states[name]

    def ended(self, name: str, failure: str | None) -> None:
        """Take the end of a run."""
        self._states.pop(name, None)
        if failure is not None:
            self.failures[name] = failure

    def awaited(self, start: Run) -> Run | None:
        """The run to be complete before another can start from this one; None: it can start now."""
        if self.state(start.hash) != "complete":
            return start
        again = weights_again(self._folder, start)
        if again is not None:
            self.state(again.hash)  # it may be given up
        return again

    def reopen(self, name: str) -> None:
        """Have a run that is pruned computed again."""
        if self.state(name) == "pruned":
            folder = self.folder(name)
            folder.write_record(folder.record() | {"state": "interrupted"})
            self._states.pop(name)

    def validation(self, name: str, metrics: Sequence[str]) -> list[float | None]:
        """Of a complete run: metrics as `val.auc` names them."""
        validation = self.folder(name).record()["validation"]
        return [validation[metric.removeprefix("val.")] for metric in metrics]

    def history(self, name: str) -> list[EpochRow]:
        """The run's epochs; none where its history.csv is not there, or damaged."""
        try:
            return read_history(self.folder(name).path / "history.csv")
        except FileNotFoundError:
            return []
