import json
import multiprocessing

import pytest

from mtlbench import records
from mtlbench.errors import DataError
from mtlbench.records import (
    RunFolder,
    atomic_path,
    canonical_json,
    digest,
    read_csv,
    write_csv,
    write_json,
)


def test_canonical_json_does_not_depend_on_order_and_refuses_nan():
    assert canonical_json({"b": 1, "a": [1, 2]}) == canonical_json({"a": [1, 2], "b": 1})
    assert json.loads(canonical_json({"a": 0.1})) == {"a": 0.1}
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest({"a": float("nan")})


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_write_that_fails_names_its_file(tmp_path):
    path = tmp_path / "file"
    said = pytest.raises(OSError, match=f"No space left on device: '{path}'")
    with said, atomic_path(path) as temporary:
        temporary.unlink()
        temporary.symlink_to("/dev/full")
        temporary.write_text("text")
    assert list(tmp_path.iterdir()) == []


def test_none_is_an_empty_field(tmp_path):
    write_csv(tmp_path / "t.csv", ("a", "b"), [{"a": None, "b": 0.1}])
    assert (tmp_path / "t.csv").read_text() == "a,b\n,0.1\n"


@pytest.fixture
def complete(tmp_path):
    folder = RunFolder(tmp_path / "run")
    write_json(folder.path / "config.json", {"seed": 0})
    folder.write_record({"state": "complete", "files": folder.describe(["config.json"])})
    return folder


def test_a_run_is_complete_while_its_files_are_whole(complete):
    assert complete.state() == "complete"
    (complete.path / "config.json").write_text("{")
    assert complete.state() == "pending"
    (complete.path / "config.json").unlink()
    assert complete.state() == "pending"


def test_a_file_is_read_again_only_where_it_was_written_since(complete, monkeypatch):
    path = complete.path / "config.json"
    assert json.loads(path.read_text()) == {"seed": 0}
    read = []
    true = records.file_sha256
    monkeypatch.setattr(records, "file_sha256", lambda path: (read.append(path), true(path))[1])
    assert complete.state(verify=True) == "complete"
    assert read == []
    path.touch()
    assert complete.state(verify=True) == "complete", "written, but with the same content"
    assert read == [path]
    path.write_text(path.read_text().replace("0", "1"))
    assert complete.state(verify=True) == "pending"
    assert complete.state() == "complete", "sizes alone do not tell"


def test_a_folder_without_a_readable_record_counts_for_nothing(complete):
    (complete.path / "record.json").write_text('{"state": "comp')
    assert complete.state() == "pending"
    (complete.path / "record.json").unlink()
    assert complete.state() == "pending"


@pytest.mark.parametrize("files", [{}, None, ["predictions.csv"]])
def test_a_run_that_lists_no_files_is_not_complete(tmp_path, files):
    folder = RunFolder(tmp_path)
    folder.write_record({"state": "complete", "files": files})
    assert folder.state() == "pending"


def hold(path, ready, done):
    with RunFolder(path).lock():
        ready.set()
        done.wait(60)


def test_a_run_is_running_while_a_process_holds_it_and_interrupted_after(complete):
    complete.write_record({"state": "running"})
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=hold, args=(complete.path, ready, done))
    process.start()
    assert ready.wait(60)
    assert complete.state() == "running"
    process.kill()
    process.join()
    assert complete.state() == "interrupted"


def test_a_table_is_read_as_it_was_written(tmp_path):
    rows = [{"a": "x, y", "b": "1\n2"}, {"a": "", "b": "ü"}]
    write_csv(tmp_path / "t.csv", ["a", "b"], rows)
    assert read_csv(tmp_path / "t.csv", ["b"]) == rows


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the columns b must be there"),
        (b"a\n1\n", "the columns b must be there"),
        (b"a,b\n1,2\n3", "line 3 must have the 2 fields"),
        (b"a,b\n1,2,3\n", "line 2 must have the 2 fields"),
        (b"a,b\n\xff,1\n", "not a table"),
    ],
)
def test_a_damaged_table_is_named_with_its_line(tmp_path, content, said):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"t\.csv: {said}"):
        read_csv(tmp_path / "t.csv", ["b"])


def test_a_folder_that_cannot_be_written_is_asked_all_the_same(complete):
    complete.write_record(complete.record() | {"state": "running"})
    (complete.path / "lock").unlink(missing_ok=True)
    assert complete.state() == "interrupted"
    assert not (complete.path / "lock").exists(), "asking writes nothing"
    with complete.lock():
        assert [complete.state() for _ in range(2)] == ["running"] * 2
