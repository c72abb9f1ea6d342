"""The agenda of a design table: every run once, each after the run that it starts from."""

from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

from mtlbench.config import StudyConfig
from mtlbench.records import RunFolder
from mtlbench.study.agenda import Work
from mtlbench.study.design import Design, Run
from mtlbench.study.models import drop_models
from mtlbench.study.retry import given_up
from mtlbench.study.store import Store
from mtlbench.training.state import Row


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
        self._ready: deque[str] = deque()
        self._after: dict[str, list[str]] = {}
        """Runs that wait for the one that they start from."""
        self._needed: Counter[str] = Counter()
        """How many runs that are not complete start from a run."""
        self.failures: dict[str, str] = {}
        """Of earlier starts: runs that have been tried often enough."""
        wanted = design.of_arms(only) if only else set(design.runs)
        self.work = Work(0, len(wanted), 0)
        for name, run in design.runs.items():
            if name in wanted:
                self._place(name, run, study.resources.retries)
        self.work.failed = len(self.failures)

    def next(self) -> Run | None:
        """See `Agenda`."""
        if not self._ready:
            return None
        name = self._ready.popleft()
        self._store.begun(name)
        return self._design.runs[name]

    def label(self, name: str) -> str:
        """Its first cell, seed and fold; a shared stage by the cells that start from it."""
        return self._design.labels[name]

    def epoch(self, name: str, row: Row) -> bool:
        """An ablation is never pruned: it would bias the comparison."""
        return False

    def ended(self, name: str, failure: str | None) -> dict[str, str]:
        """See `Agenda`."""
        self._store.ended(name)
        self.work.steps_left -= self._design.own_steps(name)
        followers = self._after.pop(name, [])
        self._needed.subtract(filter(None, [self._design.runs[name].starts_from]))
        if failure is None:
            self.work.done += 1
            self._ready.extendleft(reversed(followers))
            self._drop_models(name)
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
        drop_models(self._folder, groups, self._study.resources.keep, metric, +self._needed)

    def _place(self, name: str, run: Run, retries: int) -> None:
        folder = RunFolder(self._folder / "runs" / name)
        state = folder.state()
        if state == "complete":
            self.work.done += 1
            return
        record = folder.record()
        start = run.starts_from
        if start in self.failures:
            self.failures[name] = f"{start}, which it starts from, failed"
        elif state == "failed" and given_up(record, retries):
            self.failures[name] = record["error"]
        else:
            self.work.steps_left += self._design.own_steps(name)
            self._needed.update(filter(None, [start]))
            if start is None or RunFolder(self._folder / "runs" / start).state() == "complete":
                self._ready.append(name)
            else:
                self._after.setdefault(start, []).append(name)
