"""The agenda of a search study: the trials of every arm that has `search`.

A trial's runs come one after another, for each of its seeds and folds; trials come side by side.
What is asked next, see `arm.py`. `trials.csv` says of every trial, before its first run starts,
what it tries; with the run folders it is all that the next start needs.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from mtlbench.config import StudyConfig
from mtlbench.records import write_csv
from mtlbench.study.agenda import Work
from mtlbench.study.cells import Cell
from mtlbench.study.changes import Pair, refuse_changes, refuse_search_changes
from mtlbench.study.data import StudyData
from mtlbench.study.design import Run
from mtlbench.study.search.arm import ArmSearch
from mtlbench.study.search.finalists import choose_finalists, pareto_front
from mtlbench.study.search.importance import ImportanceRow
from mtlbench.study.search.trial import Runs, Trial
from mtlbench.study.status import read_trials
from mtlbench.study.weights import drop_models, first_of
from mtlbench.training.state import EpochRow

TRIALS = "trials.csv"
PARETO = "pareto.csv"


class Search:
    """All searches of a study."""

    def __init__(
        self, study: StudyConfig, data: StudyData, folder: Path, only: Collection[str] = ()
    ) -> None:
        """Take over the trials of trials.csv in `folder` (results/<study>); nothing is written.

        `only` names the arms whose searches are wanted; none named: all.

        Raises:
            StudyError: what was tried so far is not what the study file now says.
            DataError: trials.csv is damaged.
        """
        assert study.search is not None
        self._study, self._search, self._folder = study, study.search, folder
        self._runs = Runs(folder, study.resources.retries)
        self._arms = [ArmSearch(study, arm, data, self._runs) for arm in study.arms if arm.search]
        self._wanted = [arm for arm in self._arms if not only or arm.arm.name in only]
        self._busy: set[str] = set()
        self._stopping: set[str] = set()
        self.work = Work(0, 0, 0)
        self.failures: dict[str, str] = {}
        """Of earlier starts: runs that have been tried often enough; and, at any time, arms
        without a finalist."""
        self._restore()

    def open(self, url: str) -> None:
        """Go on, with the Optuna storage at `url`: ask for trials as far as the order allows."""
        for arm in self._arms:
            arm.open(url, self._folder)
        self._write()
        self._settle()
        self.failures |= self._runs.failures

    def next(self) -> Run | None:
        """See `Agenda`."""
        for _, trial in self._running():
            run = trial.needs(self._runs)
            if run is not None and run.hash not in self._busy:
                self._busy.add(run.hash)
                self._runs.reopen(run.hash)
                return run
        return None

    def label(self, name: str) -> str:
        """The first trial that it is a run of, its seed and fold."""
        again = "" if name == first_of(name) else "weights of "
        for arm in self._arms:
            for trial in arm.trials:
                for chain in trial.chains:
                    for run in chain:
                        if run.hash == first_of(name):
                            stage = again if run is chain[-1] else f"{again}stage of "
                            return f"{stage}{arm.arm.name} trial {trial.number}{_place(run)}"
        raise KeyError(name)

    def epoch(self, name: str, row: EpochRow) -> bool:
        """See `Agenda`: True once no trial needs the run any more."""
        hearing = [(arm, trial) for arm, trial in self._running() if self._needs(trial, name)]
        pruned = [trial for arm, trial in hearing if arm.hear_epoch(trial, name, row)]
        if not pruned:
            return False
        self._settle(pruned)
        is_needed = any(self._needs(trial, name) for _, trial in self._running())
        if is_needed or name in self._stopping:
            return False
        self._stopping.add(name)
        return True

    def ended(self, name: str, failure: str | None) -> dict[str, str]:
        """See `Agenda`; a trial's later runs are not begun, so none fails with this one."""
        self._busy.discard(name)
        self._stopping.discard(name)
        self._runs.ended(name, failure)
        self._settle()
        return {}

    def finalists(self) -> list[Cell]:
        """The cells that all searches have found so far, by arm: see `finalists.py`."""
        return [
            Cell(arm.arm.name, trial.params, trial.config, trial.number)
            for arm in self._arms
            for trial in choose_finalists(arm.trials, self._search.finalists)
        ]

    def counts(self) -> dict[str, dict[str, int]]:
        """Of each arm its trials and those that have ended, its finalists and those found so far.

        `runs_each` is how many runs a finalist is, earlier stages apart.
        """
        runs_each = len(self._study.seeds) * max(1, self._study.data.folds)
        found = Counter(cell.arm for cell in self.finalists())
        return {
            arm.arm.name: {
                "trials": arm.total,
                "done": len(arm.trials) - len(arm.running),
                "finalists": self._search.finalists,
                "found": found[arm.arm.name],
                "runs_each": runs_each,
            }
            for arm in self._arms
        }

    def importances(self) -> list[ImportanceRow]:
        """Which searched key mattered in each arm, for each objective."""
        return [row for arm in self._arms for row in arm.importances()]

    def _running(self) -> list[tuple[ArmSearch, Trial]]:
        """Trials under way, the earliest first, and arms in turn."""
        found = [(arm, trial) for arm in self._wanted for trial in arm.running]
        return sorted(found, key=lambda pair: pair[1].number)

    def _needs(self, trial: Trial, name: str) -> bool:
        run = trial.needs(self._runs)
        return run is not None and run.hash == name

    def _settle(self, ended: Sequence[Trial] = ()) -> None:
        """End the trials that have ended, ask for others in their place, and write it down."""
        while True:
            ended = [*ended, *(trial for arm, trial in self._running() if arm.settle(trial))]
            if ended:
                self._write()
            self._drop_models([chain[-1].hash for chain in trial.chains] for trial in ended)
            asked = [arm.advance() for arm in self._wanted]
            if not any(asked):
                break
            self._write()
            ended = ()
        self._count()

    def _count(self) -> None:
        trials = [trial for arm in self._wanted for trial in arm.trials]
        running = [trial.steps(self._runs) for _, trial in self._running()]
        whole = [trial.chains[0][-1].steps * len(trial.chains) for trial in trials]
        unasked = sum(arm.left for arm in self._wanted)
        self.work.total = sum(arm.total for arm in self._wanted)
        self.work.done = len(trials) - len(running)
        self.work.steps_left = sum(running) + unasked * sum(whole) // max(1, len(whole))
        if not running and not unasked:
            self._finish()

    def _finish(self) -> None:
        self._drop_models(trial.runs for arm in self._wanted for trial in arm.trials)
        for arm in self._wanted:
            if not any(trial.state == "complete" for trial in arm.trials):
                self.failures[arm.arm.name] = (
                    f"none of its {len(arm.trials)} trials is complete, so there is no finalist"
                )
        if len(self._search.objectives) > 1:
            fronts = [arm.row(t) for arm in self._arms for t in pareto_front(arm.trials)]
            columns = [name for name in self._columns() if name not in ("state", "runs")]
            rows = [{name: row.get(name) for name in columns} for row in fronts]
            write_csv(self._folder / PARETO, columns, rows)

    def _drop_models(self, groups: Iterable[Sequence[str]]) -> None:
        """Unless all models are to stay, those of trials go: finalists are trained again."""
        if self._study.resources.keep != "all":
            running = [trial for arm in self._arms for trial in arm.running]
            runs = [run for trial in running for chain in trial.chains for run in chain]
            drop_models(self._folder, groups, "none", self._search.objectives[0], runs)

    def _columns(self) -> list[str]:
        keys = dict.fromkeys(key for arm in self._arms for key in arm.arm.search)
        return ["arm", "trial", "state", *keys, *self._search.objectives, "runs"]

    def _write(self) -> None:
        rows = [arm.row(trial) for arm in self._arms for trial in arm.trials]
        write_csv(self._folder / TRIALS, self._columns(), rows)

    def _restore(self) -> None:
        """Take over the trials of trials.csv, unless the study has changed under them."""
        arms = {arm.arm.name: arm for arm in self._arms}
        pairs: list[Pair] = []
        rows = read_trials(self._folder)
        if rows:
            refuse_search_changes(self._folder, self._study, {row["arm"] for row in rows})
        for row in rows:
            label, names = f"{row['arm']} trial {row['trial']}", row["runs"].split()
            if row["arm"] not in arms:
                pairs += [(label, name, None) for name in names]
                continue
            trial = arms[row["arm"]].restore(row)
            runs = {run.hash: run for chain in trial.chains for run in chain}
            now = [*runs.values(), *[None] * len(names)]
            pairs += [(label, name, run) for name, run in zip(names, now, strict=False)]
        refuse_changes(self._folder, pairs)


def _place(run: Run) -> str:
    fold = run.config["fold"]
    return f" seed {run.config['seed']}" + ("" if fold is None else f" fold {fold}")
