"""The files of a study on disk: atomic writes, hashes, and the run folder.

A run folder is the truth about a run. It is complete when, and only when, its `record.json`
says so and every file listed there is present in full.
"""

import csv
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from filelock import FileLock

from mtlbench.errors import DataError

MODEL = "model.safetensors"
"""A run's weights: a run that has lost nothing else stays complete (`study/weights.py`)."""
CELLS = ("cell", "arm", "seed", "fold", "hash", "starts_from", "steps")
"""Columns that every `cells.csv` has; between them are the varied keys."""
State = str
"""`pending` (no record, or files are missing), `running`, `interrupted` (it said that it was
running, but no process holds it), `complete`, `failed` or `pruned`."""


def trial_cell(arm: str, trial: object) -> str:
    """Name of the cell that a search found in a trial of the arm."""
    return f"{arm} [trial {trial}]"


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: object) -> str:
    """The name of a run: the first 16 hex digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success flush it to disk and rename it there.

    Raises:
        OSError: the disk is full or cannot be written; it names the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk names none
        raise
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames within a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write a JSON file atomically, indented for people."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Write a CSV atomically; None becomes an empty field."""
    text = StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_csv(path: Path, columns: Collection[str]) -> list[dict[str, str]]:
    """Read a CSV as text, a row per line below its header.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it lacks one of `columns`, or a line has not the fields of the header.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            header = reader.fieldnames or []
            rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a table of comma-separated values: {error}") from None
    if lacking := [name for name in columns if name not in header]:
        raise DataError(f"{path}: the columns {', '.join(lacking)} must be there, but are not")
    for line, row in rows:
        if None in row or None in row.values():
            raise DataError(f"{path}: line {line} must have the {len(header)} fields of the header")
    return [row for _, row in rows]


@dataclass(frozen=True, slots=True)
class RunFolder:
    """`results/<study>/runs/<hash>/`."""

    path: Path

    @property
    def name(self) -> str:
        """The run's hash."""
        return self.path.name

    def record(self) -> dict[str, Any]:
        """How the run went; empty where it has not begun or the file is damaged."""
        try:
            record = read_json(self.path / "record.json")
        except (FileNotFoundError, ValueError):
            return {}
        readable = isinstance(record, dict) and (
            record.get("state") != "complete" or _lists_files(record)
        )
        return record if readable else {}

    def state(self, *, verify: bool = False) -> State:
        """The run's state; `complete` only if every listed file is there in full.

        Sizes are compared, and with `verify` the SHA-256 of files that have been written since.
        """
        return self.look(verify=verify)[0]

    def look(self, *, verify: bool = False) -> tuple[State, dict[str, Any]]:
        """State and record, read once."""
        record = self.record()
        state: State = record.get("state", "pending")
        if state == "complete" and self.lacking(record, verify=verify):
            return "pending", record
        if state == "running" and not self._held():
            return "interrupted", record
        return state, record

    def lacking(self, record: Mapping[str, Any], *, verify: bool = False) -> list[str]:
        """Names of the files that a complete record lists and that are not here in full."""
        entries = record["files"].items()
        return [name for name, entry in entries if not _whole(self.path / name, entry, verify)]

    def reopen_if_damaged(self) -> None:
        """Take back that a run is complete where its files are not those that it wrote."""
        record = self.record()
        if record.get("state") == "complete" and self.state(verify=True) != "complete":
            self.write_record(record | {"state": "running"})

    def tidy(self) -> None:
        """Remove what a killed write left behind; call while holding the lock."""
        for leftover in self.path.glob(".*.tmp"):
            leftover.unlink()

    def lock(self) -> FileLock:
        """The lock that the process which computes the run holds."""
        return FileLock(self.path / "lock")

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Replace the record; a complete one lists its files with sizes and hashes."""
        write_json(self.path / "record.json", record)

    def describe(self, names: Sequence[str]) -> dict[str, dict[str, object]]:
        """Size, time of writing and SHA-256 of the folder's files, for a complete record."""
        return {
            name: {
                "bytes": (found := (self.path / name).stat()).st_size,
                "mtime_ns": found.st_mtime_ns,
                "sha256": file_sha256(self.path / name),
            }
            for name in names
        }

    def _held(self) -> bool:
        """Whether a process holds the lock; asking writes nothing and keeps no other asker out."""
        try:
            with (self.path / "lock").open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False


def _lists_files(record: Mapping[str, Any]) -> bool:
    """Whether it does: a run that has written nothing cannot be complete."""
    files = record.get("files")
    return isinstance(files, dict) and len(files) > 0


def run_folder(study: Path, name: str) -> RunFolder:
    """The folder of a run, by its hash, below `results/<study>`."""
    return RunFolder(study / "runs" / name)


def _whole(path: Path, entry: Mapping[str, Any], verify: bool) -> bool:
    """Whether a file is what its entry says; one not written since is not read to tell."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    written_since: bool = found.st_mtime_ns != entry.get("mtime_ns")
    if found.st_size != entry["bytes"]:
        return False
    return not (verify and written_since) or file_sha256(path) == entry["sha256"]
