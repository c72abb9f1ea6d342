"""The agenda of a design table: every run once, each after the run that it starts from."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from mtlbench.config import StudyConfig
from mtlbench.records import run_folder
from mtlbench.study.agenda import Work
from mtlbench.study.design import Design, Run
from mtlbench.study.optuna_study import Store
from mtlbench.study.retry import given_up
from mtlbench.study.weights import drop_models, first_of, take_over, weights_again
from mtlbench.training.state import EpochRow


class Ablation:
    """Runs of a design that are not complete, in the design's order; nothing is ever pruned."""

    def __init__(
        self,
        design: Design,
        folder: Path,
        store: Store,
        study: StudyConfig,
        only: Sequence[str] = (),
    ) -> None:
        """Leave out what is complete, and what has failed for good: see `failures`.

        `only` names the arms whose runs are wanted; none named: all.
        """
        self._study = study
        self._design = design
        self._folder = folder
        self._store = store
        self._runs = dict(design.runs)
        """With those that make weights again."""
        self._ready: deque[str] = deque()
        self._after: dict[str, list[str]] = {}
        """Runs that wait for the one that they start from."""
        self.failures: dict[str, str] = {}
        """Of earlier starts: runs that have been tried often enough."""
        wanted = design.of_arms(only)
        self.work = Work(0, len(wanted), 0)
        for name, run in design.runs.items():
            if name in wanted:
                self._place(run)
        self.work.failed = len(self.failures)

    def next(self) -> Run | None:
        """See `Agenda`."""
        if not self._ready:
            return None
        name = self._ready.popleft()
        if name in self._design.runs:  # what makes weights again is no trial
            self._store.begun(name)
        return self._runs[name]

    def label(self, name: str) -> str:
        """Its first cell, seed and fold; a shared stage by the cells that start from it."""
        label = self._design.labels[first_of(name)]
        return label if name in self._design.runs else f"weights of {label}"

    def epoch(self, name: str, row: EpochRow) -> bool:
        """An ablation is never pruned: it would bias the comparison."""
        return False

    def ended(self, name: str, failure: str | None) -> dict[str, str]:
        """See `Agenda`."""
        self._store.ended(name)
        self.work.steps_left -= self._design.own_steps(first_of(name))
        followers = self._after.pop(name, [])
        if failure is None:
            self.work.done += 1
            self._ready.extendleft(reversed(followers))
            take_over(self._folder, first_of(name))
            self._drop_models(first_of(name))
            return {}
        self.work.failed += 1
        failures: dict[str, str] = {}
        for follower in followers:
            reason = f"{name}, which it starts from, failed"
            failures |= {follower: reason, **self.ended(follower, reason)}
        return failures

    def _drop_models(self, name: str) -> None:
        """Of the run's cells, and of the stage that it starts from, keep what the study says."""
        touched = [name, *filter(None, [self._design.runs[name].starts_from])]
        groups = [group for run in touched for group in self._design.groups(run)]
        metric = self._study.compare.choose or "val.auc"
        keep = self._study.resources.keep
        drop_models(self._folder, groups, keep, metric, self._design.runs.values())

    def _place(self, run: Run) -> None:
        """Count a run, and say what it waits for."""
        state, record = run_folder(self._folder, run.hash).look()
        if state == "complete":
            self.work.done += 1
            return
        if state == "failed" and given_up(record, self._study.resources.retries):
            self.failures[run.hash] = record["error"]
            return
        start = self._awaited(run)
        if start in self.failures:
            self.failures[run.hash] = f"{start}, which it starts from, failed"
            return
        self.work.steps_left += self._design.own_steps(first_of(run.hash))
        if start is None:
            self._ready.append(run.hash)
        else:
            self._after.setdefault(start, []).append(run.hash)

    def _awaited(self, run: Run) -> str | None:
        """The run to be complete before this one can start; one that makes weights is placed."""
        if run.starts_from is None:
            return None
        start = self._design.runs[run.starts_from]
        if run_folder(self._folder, start.hash).state() != "complete":
            return start.hash
        again = weights_again(self._folder, start)
        if again is None:
            return None
        if again.hash not in self._runs:
            self._runs[again.hash] = again
            self.work.total += 1
            self._place(again)
        return again.hash
