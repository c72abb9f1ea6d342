"""A study being run: its file read, its data prepared, its design laid out, its runs computed."""

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from optuna.exceptions import StorageInternalError
from rich.console import Console
from rich.progress import Progress as Bars

from mtlbench.analysis.published import REGISTRY
from mtlbench.config import StudyConfig
from mtlbench.records import atomic_path, run_folder, write_csv, write_json, write_text
from mtlbench.study.ablation import Ablation
from mtlbench.study.agenda import Agenda
from mtlbench.study.cells import read_study_file, refuse_large_batches
from mtlbench.study.changes import former_finalists, pairs_of, refuse_changes
from mtlbench.study.data import StudyData, load_data
from mtlbench.study.design import Design, build_design
from mtlbench.study.driver import Driver
from mtlbench.study.executors import EXECUTORS, Executor, Places
from mtlbench.study.listeners import Listeners
from mtlbench.study.lock import hold
from mtlbench.study.optuna_storage import default_url, shown, why
from mtlbench.study.optuna_study import Store
from mtlbench.study.progress import LiveProgress, PlainProgress
from mtlbench.study.search import importance
from mtlbench.study.search.agenda import Search
from mtlbench.study.trackers import open_trackers
from mtlbench.study.weights import mend


@dataclass(frozen=True, slots=True)
class Session:
    """Everything known of a study before its first run."""

    source: Path
    study: StudyConfig
    data: StudyData
    design: Design
    folder: Path
    """results/<study>."""


@dataclass(frozen=True, slots=True)
class Options:
    """Places and limits of one `study run`; none of them changes a result."""

    places: Places
    executor: str = "local"
    store: str | None = None
    """URL of an Optuna storage; None: `optuna.db` in the results folder."""
    trackers: Sequence[str] = ()
    only: Sequence[str] = ()
    """Arms to compute; none named: all."""


def open_session(
    source: Path, results: Path, places: Mapping[str, Path], console: Console
) -> Session:
    """Validate a study file, prepare its data, lay out its design. Nothing is written to results.

    Raises:
        StudyError: the study file is wrong; every fault with its dotted key.
        DataError: the data are wrong.
    """
    study, cells = read_study_file(source)
    with Bars(console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task(f"preparing {study.dataset}", total=None)
        data = load_data(
            study, places, os.cpu_count() or 1,
            lambda done, total: bars.update(bar, completed=done, total=total),
        )  # fmt: skip
    refuse_large_batches(study, data, str(source))
    return Session(source, study, data, build_design(study, cells, data), results / study.name)


def drive(session: Session, options: Options, console: Console) -> dict[str, str]:
    """Compute what the study lacks; return what failed, with the reasons.

    A search study is searched first; its finalists then are cells like any other. What has begun
    and would change is refused before anything is written or computed.

    Raises:
        BusyError: another driver holds the study.
        StudyError: what has begun is no longer what the study file says.
        DataError: cells.csv or trials.csv is damaged.
        DiskError: the disk is full or cannot be written.
    """
    while True:
        try:
            return _drive(session, options, console)
        except StorageInternalError as error:  # an index: nothing is lost with it
            where = shown(_url(session, options))
            told = f"{where}: lost, {why(error)}; it is made again from the run folders"
            console.print(told, highlight=False, markup=False, soft_wrap=True)


def _drive(session: Session, options: Options, console: Console) -> dict[str, str]:
    folder = session.folder
    with hold(folder), _Crew(session, options, console) as crew:
        search = open_search(session, options.only)
        searched = _searched(session)
        unchanged_design(session, search)
        _write_study(session)
        failures = _search(session, search, options, crew) if search else {}
        design = _design(session, search)
        if former := former_finalists(folder, design, searched):
            told = (
                f"runs of former finalists that are kept in runs/, no longer shown: {len(former)}"
            )
            console.print(told, highlight=False, markup=False, soft_wrap=True)
        write_csv(folder / "cells.csv", *design.cells_table())
        _mend(folder, design.of_arms(options.only), console)
        if not design.runs:  # every arm is searched, and none has a finalist
            return failures
        store = Store(_url(session, options), session.study.name, design, folder)
        agenda = Ablation(design, folder, store, session.study, options.only)
        return failures | agenda.failures | crew.compute(agenda)


def open_search(session: Session, only: Sequence[str] = ()) -> Search | None:
    """The searches of a study as far as they are; None for an ablation. Nothing is written.

    Raises:
        StudyError: what was tried so far is not what the study file now says.
        DataError: trials.csv is damaged.
    """
    if session.study.search is None:
        return None
    return Search(session.study, session.data, session.folder, only)


def unchanged_design(session: Session, search: Search | None) -> Design:
    """The study's design with the cells found so far, in the order of the arms.

    Raises:
        StudyError: a run that has begun is no longer in it.
    """
    design = _design(session, search)
    refuse_changes(session.folder, pairs_of(session.folder, design, _searched(session)))
    return design


def _searched(session: Session) -> list[str]:
    return [arm.name for arm in session.study.arms if arm.search]


def _design(session: Session, search: Search | None) -> Design:
    found = search.finalists() if search else []
    if not found:
        return session.design
    order = [arm.name for arm in session.study.arms]
    cells = sorted([*session.design.cells, *found], key=lambda cell: order.index(cell.arm))
    return build_design(session.study, cells, session.data)


def _search(session: Session, search: Search, options: Options, crew: "_Crew") -> dict[str, str]:
    """Do what is left of the searches; give what failed."""
    if not (session.folder / "cells.csv").exists():
        write_csv(session.folder / "cells.csv", *session.design.cells_table())
    search.open(_url(session, options))
    failures = crew.compute(search)
    rows = search.importances()
    write_csv(session.folder / "importances.csv", importance.COLUMNS, rows)
    return search.failures | failures


class _Crew:
    """The executor, started when there is something to compute, and those who listen."""

    def __init__(self, session: Session, options: Options, console: Console) -> None:
        self._session, self._options, self._console = session, options, console
        self._open = ExitStack()
        self._executor: Executor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def compute(self, agenda: Agenda) -> dict[str, str]:
        """Drive an agenda to its end; give what failed."""
        if not agenda.work.left:
            return {}
        study, folder = self._session.study, self._session.folder
        trackers = open_trackers(self._options.trackers, folder, study.name)
        if self._executor is None:
            make = EXECUTORS[self._options.executor]
            # a search goes on with its finalists: there is more to come than the agenda has left
            slots = None if study.search else agenda.work.left
            self._executor = make(self._options.places[:slots], study.resources, folder)
            self._open.callback(self._executor.close)
        console = self._console
        progress = LiveProgress(console) if console.is_terminal else PlainProgress(console)
        listeners = Listeners(progress, trackers)
        prepared = self._session.data.prepared.root
        try:
            return Driver(
                folder, prepared, agenda, self._executor, listeners, study.resources
            ).run()
        finally:
            listeners.close()


def _url(session: Session, options: Options) -> str:
    return options.store or default_url(session.folder)


def _mend(folder: Path, names: Collection[str], console: Console) -> None:
    """Hold the runs that are wanted to their files; say how many have lost their weights."""
    if lost := sum(mend(run_folder(folder, name)) for name in names):
        told = f"complete runs whose weights are gone or damaged: {lost}"
        console.print(told, highlight=False, markup=False, soft_wrap=True)


def _write_study(session: Session) -> None:
    """The files of a results folder that say what the study is."""
    folder = session.folder
    write_text(folder / "study.toml", session.source.read_text(encoding="utf-8"))
    if registry := session.study.compare.registry:
        own = session.source.parent / registry
        write_text(folder / REGISTRY, own.read_text(encoding="utf-8"))
    write_json(folder / "recipe.json", session.data.prepared.recipe)
    with atomic_path(folder / "cases.csv") as temporary:
        session.data.cases.to_csv(temporary, index=False, lineterminator="\n")
