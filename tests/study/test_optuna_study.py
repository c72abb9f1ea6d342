import os
import shutil
import socket
import sqlite3
import subprocess
import time
from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from mtlbench.errors import DiskError, StudyError
from mtlbench.records import RunFolder
from mtlbench.study.optuna_study import Store


def finish(folder, name, auc=0.7, **more):
    run = RunFolder(folder / "runs" / name)
    run.path.mkdir(parents=True, exist_ok=True)
    (run.path / "predictions.csv").write_text("score\n")
    files = run.describe(["predictions.csv"])
    validation = {"auc": auc, "dice": None, "dice_lesions": None, "dice_any": None}
    run.write_record({"state": "complete", "files": files, "validation": validation} | more)


def trials(url):
    return optuna.load_study(study_name="tiny", storage=url).trials


def by_run(url, state="COMPLETE"):
    return sorted(t.user_attrs["run"] for t in trials(url) if t.state.name == state)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'optuna.db'}"


@pytest.fixture
def open_store(tmp_path, design_of, url):
    design = design_of()
    return lambda: Store(url, "tiny", design, tmp_path), list(design.runs)


def test_a_run_is_running_then_what_its_folder_says(open_store, tmp_path, url):
    make, (first, second, *_) = open_store
    store = make()
    store.begun(first)
    store.begun(first)
    store.begun(second)
    assert by_run(url, "RUNNING") == sorted([first, second])
    finish(tmp_path, first, auc=0.83)
    store.ended(first)
    store.ended(second)
    told = trials(url)
    assert [trial.state.name for trial in told] == ["COMPLETE", "FAIL"]
    assert told[0].values == [0.83, 0.0]
    assert told[0].user_attrs["folder"] == f"runs/{first}"
    assert told[0].params["arm"] == "cls"


def test_trials_that_a_dead_driver_left_running_are_taken_over(open_store, tmp_path, url):
    make, (first, second, third, *_) = open_store
    store = make()
    for name in (first, second, third):
        store.begun(name)
    finish(tmp_path, first)
    store = make()
    store.begun(second)
    finish(tmp_path, second)
    store.ended(second)
    assert by_run(url) == sorted([first, second])
    assert by_run(url, "RUNNING") == [third]
    assert len(trials(url)) == 3


def test_a_lost_store_is_rebuilt_from_the_run_folders(open_store, tmp_path, url):
    make, names = open_store
    store = make()
    for name in names[:3]:
        store.begun(name)
        finish(tmp_path, name)
        store.ended(name)
    before = [(t.params, t.values, t.user_attrs) for t in trials(url)]
    (tmp_path / "optuna.db").unlink()
    make()
    assert [(t.params, t.values, t.user_attrs) for t in trials(url)] == before


def test_a_store_made_again_has_the_times_of_the_runs(open_store, tmp_path, url, monkeypatch):
    make, (first, *_) = open_store
    times = {"started": "2026-01-31T22:30:00+00:00", "ended": "2026-01-31T23:15:30+00:00"}
    finish(tmp_path, first, **times)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        make()
        (trial,) = trials(url)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert trial.datetime_start == datetime(2026, 2, 1, 7, 30)
    assert trial.duration == timedelta(minutes=45, seconds=30)


@pytest.mark.parametrize("when", ["open", "begun", "ended"])
def test_a_full_disk_is_told_at_any_use_and_the_store_goes_on_after_it(
    tmp_path, design_of, disk_of, when
):
    disk, design = disk_of(8 if when == "open" else 65536), design_of()
    url, (first, second, *_) = f"sqlite:///{disk / 'optuna.db'}", design.runs

    def fill(at):
        if at == when:
            found = os.statvfs(disk)
            disk_of((found.f_blocks - found.f_bfree) * found.f_frsize // 1024)

    def use():
        store = Store(url, "tiny", design, tmp_path)
        store.begun(first)
        finish(tmp_path, first)
        fill("ended")
        store.ended(first)
        fill("begun")
        store.begun(second)

    with pytest.raises(DiskError, match=r"optuna\.db must be writable, but: database or disk is"):
        use()
    disk_of(65536)
    Store(url, "tiny", design, tmp_path)
    assert by_run(url) == ([] if when == "open" else [first])
    assert by_run(url, "RUNNING") == []


def test_a_changed_design_gets_a_store_of_its_own(open_store, tmp_path, design_of, url):
    make, (first, *_) = open_store
    finish(tmp_path, first)
    make()
    changed = design_of(("seeds = [0, 1]", "seeds = [0, 2]"))
    Store(url, "tiny", changed, tmp_path)
    assert by_run(url) == [first]
    assert {t.distributions["seed"].high for t in trials(url)} == {2}


def test_a_damaged_store_is_put_aside_and_made_again(open_store, tmp_path, url):
    make, (first, *_) = open_store
    finish(tmp_path, first)
    (tmp_path / "optuna.db").write_text("not a database at all, " * 100)
    make()
    assert by_run(url) == [first]
    assert (tmp_path / "optuna.db.damaged").is_file()


def set_schema_version(file):
    """As a database has it that a far later Optuna has made."""
    with sqlite3.connect(file) as database:
        database.execute("UPDATE alembic_version SET version_num = 'v99.0.0'")


def test_a_store_of_another_schema_version_is_put_aside_and_made_again(
    open_store, tmp_path, url, capsys
):
    make, (first, *_) = open_store
    finish(tmp_path, first)
    make()
    set_schema_version(tmp_path / "optuna.db")
    make()
    assert by_run(url) == [first]
    assert (tmp_path / "optuna.db.damaged").is_file()
    (said,) = capsys.readouterr().err.splitlines()
    assert "made again, put aside as optuna.db.damaged: The runtime optuna version" in said


def test_a_store_of_the_user_s_of_another_schema_version_is_one_line(tmp_path, design_of):
    mine, design = tmp_path / "mine.db", design_of()
    Store(f"sqlite:///{mine}", "tiny", design, tmp_path / "results")
    set_schema_version(mine)
    with pytest.raises(StudyError, match=r"mine\.db: must be .*no longer compatible") as error:
        Store(f"sqlite:///{mine}", "tiny", design, tmp_path / "results")
    assert "\n" not in str(error.value)


def test_a_trial_that_a_user_has_queued_disturbs_nothing(open_store, tmp_path, url):
    make, (first, second, *_) = open_store
    store = make()
    store.begun(first)
    theirs = optuna.load_study(study_name="tiny", storage=url)
    theirs.set_user_attr("note", "mine")
    theirs.enqueue_trial({"arm": "joint"})
    store.begun(second)
    for name in (first, second):
        finish(tmp_path, name)
        store.ended(name)
    make()
    assert by_run(url) == sorted([first, second])
    assert [trial.state.name for trial in trials(url)] == ["COMPLETE", "WAITING", "COMPLETE"]
    assert theirs.user_attrs["note"] == "mine"


def test_notes_on_the_study_stay_where_its_trials_are_made_again(
    open_store, design_of, url, tmp_path
):
    make, (first, *_) = open_store
    finish(tmp_path, first)
    make()
    theirs = optuna.load_study(study_name="tiny", storage=url)
    theirs.set_user_attr("note", "mine")
    theirs._storage.set_study_system_attr(theirs._study_id, "dashboard:note_str:0", "ours")
    theirs._storage.set_study_system_attr(theirs._study_id, "dashboard:1:note_str:0", "a trial's")
    Store(url, "tiny", design_of(("seeds = [0, 1]", "seeds = [0, 2]")), tmp_path)
    now = optuna.load_study(study_name="tiny", storage=url)
    assert now.user_attrs == {"note": "mine", "results": "this folder"}
    notes = now._storage.get_study_system_attrs(now._study_id)
    assert {k: v for k, v in notes.items() if "note" in k} == {"dashboard:note_str:0": "ours"}


def test_the_store_may_be_a_journal_file(open_store, tmp_path, design_of):
    _, names = open_store
    file, design = tmp_path / "mine.log", design_of()
    store = Store(f"journal:{file}", "tiny", design, tmp_path / "results")
    for name in names[:3]:
        store.begun(name)
    for name in names[:2]:
        finish(tmp_path / "results", name)
        store.ended(name)
    storage = JournalStorage(JournalFileBackend(str(file)))
    assert by_run(storage) == sorted(names[:2])
    assert by_run(storage, "RUNNING") == [names[2]]
    file.write_text(file.read_text() + "no line of a journal\n")
    with pytest.raises(
        StudyError, match=r"--store: journal:.*mine\.log: must be .*, but: Expecting"
    ):
        Store(f"journal:{file}", "tiny", design, tmp_path / "results")
    file.unlink()
    Store(f"journal:{file}", "tiny", design, tmp_path / "results")
    storage = JournalStorage(JournalFileBackend(str(file)))
    assert by_run(storage) == sorted(names[:2])


def test_optunas_own_command_line_reads_it(open_store, tmp_path, url):
    make, (first, *_) = open_store
    finish(tmp_path, first)
    make()
    command = ["optuna", "trials", "--study-name", "tiny", "--storage", url, "-f", "json"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert first in said
    assert "runs/" in said


def test_a_study_of_somebody_else_is_left_alone(tmp_path, design_of):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    theirs = optuna.create_study(storage=url, study_name="tiny")
    theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    with pytest.raises(StudyError, match="holds a study 'tiny' of somebody else"):
        Store(url, "tiny", design_of(), tmp_path / "results")
    assert len(theirs.trials) == 3


def test_two_results_folders_do_not_share_a_study(tmp_path, design_of):
    url, design = f"sqlite:///{tmp_path / 'shared.db'}", design_of()
    Store(url, "tiny", design, tmp_path / "a").begun(next(iter(design.runs)))
    with pytest.raises(StudyError, match=r"of the results in .*a; give ours a new name"):
        Store(url, "tiny", design, tmp_path / "b")
    Store(url, "tiny", design, tmp_path / "a")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense", "nonsense"),
        ("redis://127.0.0.1:1/x", "redis://127.0.0.1:1/x"),
        ("postgresql+psycopg://127.0.0.1:1/x", "postgresql+psycopg://127.0.0.1:1/x"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/x", "postgresql+psycopg://me:***@127.0.0.1:1/x"),
        ("postgresql+psycopg://127.0.0.1:1/x?password=secret", "postgresql+psycopg://127.0.0.1:1/x"),
        ("postgresql+psycopg://h:port/x", "postgresql+psycopg://h:port/x"),
        ("postgresql+psycopg//me:secret@127.0.0.1/x", "127.0.0.1/x"),
        ("sqlite:////nonexistent/x.db", "sqlite:////nonexistent/x.db"),
        ("journal:/nonexistent/x.log", "journal:/nonexistent/x.log"),
    ],
)  # fmt: skip
def test_a_storage_that_cannot_be_used_is_one_line_without_a_password(
    tmp_path, design_of, url, told
):
    with pytest.raises(StudyError) as error:
        Store(url, "tiny", design_of(), tmp_path)
    said = str(error.value)
    assert said.startswith(f"--store: {told}: must be an Optuna storage, the URL of a database ")
    assert "journal:PATH, but: " in said
    assert "secret" not in said
    assert "\n" not in said


def test_a_study_of_somebody_else_is_refused_without_a_password(tmp_path, design_of, monkeypatch):
    """On SQLite in the place of a database that has passwords."""
    database = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'shared.db'}")
    optuna.create_study(storage=database, study_name="tiny").set_user_attr("results", "/theirs")
    monkeypatch.setattr("mtlbench.study.optuna_storage._storage", lambda url: database)
    with pytest.raises(StudyError, match=r"^--store: postgresql://me:\*\*\*@h/x: holds a study"):
        Store("postgresql://me:secret@h/x", "tiny", design_of(), tmp_path / "ours")


def test_a_store_that_somebody_has_locked_is_not_damaged(open_store, tmp_path, url, monkeypatch):
    make, _ = open_store
    make()
    monkeypatch.setattr("mtlbench.study.optuna_storage.LOCKED_S", 0.2)
    other = sqlite3.connect(tmp_path / "optuna.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StudyError, match="locked"):
        make()
    other.close()
    assert not (tmp_path / "optuna.db.damaged").exists()
    make()


@pytest.fixture
def postgres(tmp_path_factory):
    """A PostgreSQL server of Debian's package on loopback."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL (Debian's package postgresql) is not installed")
    folder = tmp_path_factory.mktemp("postgres")
    tools, user = found[-1].parent, "postgres"
    shutil.chown(folder, user)
    folder.chmod(0o700)
    for parent in folder.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)

    def tool(name, *arguments):
        command = ["runuser", "-u", user, "--", tools / name, "-D", folder / "data", *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd="/")

    tool("initdb", "--auth=trust")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"-p {port} -h 127.0.0.1 -k {folder}"
    tool("pg_ctl", "-w", "-l", folder / "log", "-o", options, "start")
    yield f"postgresql+psycopg://{user}@127.0.0.1:{port}/postgres"
    tool("pg_ctl", "-m", "immediate", "stop")


def test_the_store_may_be_postgresql(open_store, tmp_path, design_of, postgres):
    _, names = open_store
    design = design_of()
    store = Store(postgres, "tiny", design, tmp_path)
    for name in names:
        store.begun(name)
        finish(tmp_path, name)
        store.ended(name)
    assert by_run(postgres) == sorted(names)
    optuna.delete_study(study_name="tiny", storage=postgres)
    Store(postgres, "tiny", design, tmp_path)
    assert by_run(postgres) == sorted(names)


def test_the_dashboard_shows_it(open_store, tmp_path, url):
    dashboard = pytest.importorskip("optuna_dashboard")
    make, (first, *_) = open_store
    finish(tmp_path, first)
    make()
    app = dashboard.wsgi(url)
    answer = {}

    def respond(status, headers, *_):
        answer["status"] = status

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/studies", "QUERY_STRING": ""}
    environ |= {"SERVER_NAME": "x", "SERVER_PORT": "80", "wsgi.url_scheme": "http"}
    body = b"".join(app(environ, respond)).decode()
    assert answer["status"].startswith("200")
    assert "tiny" in body
