"""Where the Optuna index lies: a database or a journal file, opened, judged and made again.

The default is `optuna.db` in the results folder. It is never believed, so where it cannot be read
it is put aside and made again; what a user has named (`--store`) is left alone instead.
"""

import sqlite3
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Literal

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial
from sqlalchemy.exc import ArgumentError, DatabaseError, SQLAlchemyError

from mtlbench.errors import DiskError, MtlbenchError, StudyError

SQLITE, JOURNAL = "sqlite:///", "journal:"
LOCKED_S = 60.0
"""How long another process may hold the SQLite store."""
OWNER = "results"
"""User attribute of a study: whose it is, by its results folder."""
OWN = "this folder"
NOTES = "dashboard:note"
"""How optuna-dashboard's keys of a study's own notes begin."""
DAMAGE = (DatabaseError, StorageInternalError, RuntimeError)
"""What Optuna raises where it cannot read a database; RuntimeError: of another schema version."""
Directions = list[Literal["minimize", "maximize"]]
Fits = Callable[[FrozenTrial], bool]


def open_study(
    url: str, name: str, directions: Directions, fits: Fits, folder: Path
) -> optuna.Study:
    """The study of that name; made anew where it is damaged or holds a trial that does not fit.

    Raises:
        StudyError: the storage cannot be used, or the study in it is not of this results folder.
        DiskError: the disk is full or cannot be written, now or at any later use of the study.
        StorageInternalError: at any later use of the study: the database is lost; see `why`.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return _open(url, name, directions, fits, folder)
    except MtlbenchError:
        raise
    except (*DAMAGE, SQLAlchemyError, ImportError, OSError, ValueError) as error:
        reason = why(error)
        may_go = url == default_url(folder) and isinstance(error, DAMAGE)
        if not may_go or "locked" in reason:
            raise StudyError(
                f"--store: {shown(url)}: must be an Optuna storage, the URL of a database "
                f"(sqlite, postgresql, mysql) or {JOURNAL}PATH, but: {reason}"
            ) from None
    path = Path(url.removeprefix(SQLITE))
    aside = path.replace(path.with_name(f"{path.name}.damaged"))
    print(f"{path}: made again, put aside as {aside.name}: {reason}", file=sys.stderr)
    return _open(url, name, directions, fits, folder)


def default_url(folder: Path) -> str:
    """The store in the results folder."""
    return f"{SQLITE}{folder / 'optuna.db'}"


def shown(url: str) -> str:
    """A store's URL as anybody may read it: without a password."""
    if url.startswith(JOURNAL):
        return url
    try:
        return str(sqlalchemy.make_url(url).set(query={}).render_as_string(hide_password=True))
    except (ArgumentError, ValueError):
        return url.rpartition("@")[2]


def why(error: Exception) -> str:
    """What a storage complains of, in a line."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    cause = getattr(cause, "orig", None) or cause  # what the database itself says
    if getattr(cause, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY_DBMOVED:
        return "its file was deleted or moved"  # where SQLite speaks of a read-only database
    return str(cause).partition("\n")[0]


def _open(url: str, name: str, directions: Directions, fits: Fits, folder: Path) -> optuna.Study:
    own = url == default_url(folder)
    storage = _storage(url)
    study = _create(storage, name, directions)
    trials = study.get_trials(deepcopy=False)
    owner = study.user_attrs.get(OWNER)
    here = OWN if own else str(folder.resolve())
    if not own and owner != here and (trials or owner):
        whose = f"the results in {owner}" if owner else "somebody else"
        place = f"--store: {shown(url)}"
        raise StudyError(f"{place}: holds a study {name!r} of {whose}; give ours a new name")
    if not all(fits(trial) for trial in trials):
        study = _emptied(study, storage, directions)
    study.set_user_attr(OWNER, here)
    return study


def _storage(url: str) -> BaseStorage:
    if url.startswith(JOURNAL):
        return JournalStorage(_Journal(url.removeprefix(JOURNAL)))
    is_sqlite = url.startswith(SQLITE)
    patience = {"connect_args": {"timeout": LOCKED_S}} if is_sqlite else {}
    storage = RDBStorage(url, engine_kwargs=patience)
    if is_sqlite:  # an index need not survive a power cut: it is made again
        sqlalchemy.event.listen(storage.engine, "connect", _without_fsync)
        storage.engine.dispose()
    return storage


class _Journal(JournalFileBackend):
    """A journal file whose damage is told as that of a database is."""

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        try:
            yield from super().read_logs(log_number_from)
        except ValueError as error:
            raise StorageInternalError("no journal of Optuna") from error


def _create(storage: BaseStorage, name: str, directions: Directions) -> optuna.Study:
    return optuna.create_study(
        storage=storage, study_name=name, directions=directions, load_if_exists=True
    )


def _emptied(study: optuna.Study, storage: BaseStorage, directions: Directions) -> optuna.Study:
    """The study without its trials; what people have written on it stays."""
    name, attributes = study.study_name, study.user_attrs
    system = storage.get_study_system_attrs(storage.get_study_id_from_name(name))
    optuna.delete_study(study_name=name, storage=storage)
    study = _create(storage, name, directions)
    for key, value in attributes.items():
        study.set_user_attr(key, value)
    new = storage.get_study_id_from_name(name)
    for key in system:
        if key.startswith(NOTES):
            storage.set_study_system_attr(new, key, system[key])
    return study


@sqlalchemy.event.listens_for(sqlalchemy.Engine, "handle_error")
def _raise_disk_fault(context: sqlalchemy.ExceptionContext) -> None:
    """Raise DiskError where it is the disk that SQLite complains of; Optuna lets it pass."""
    if _is_disk_fault(getattr(context.original_exception, "sqlite_errorcode", 0)):
        where = context.engine.url.database if context.engine else "the Optuna store"
        reason = f"{where} must be writable, but: {context.original_exception}"
        raise DiskError(reason) from None


def _is_disk_fault(code: int) -> bool:
    """Whether an error of SQLite is the disk's, by its code; a file that is gone is not."""
    kind = code & 0xFF
    faults = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
    return kind in faults and code != sqlite3.SQLITE_READONLY_DBMOVED


def _without_fsync(connection: Any, _: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")
