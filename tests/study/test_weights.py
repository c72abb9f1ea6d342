from pathlib import Path

import pytest

from mtlbench.records import MODEL, RunFolder, run_folder
from mtlbench.study.design import Run
from mtlbench.study.weights import (
    drop_models,
    has_model,
    mend,
    take_over,
    to_make_again,
    weights_again,
)


@pytest.fixture
def folder(tmp_path):
    """Four complete runs of validation AUC .1 to .4 with weights, one that runs."""
    for name, auc in {"a": 0.1, "b": 0.4, "c": 0.3, "d": 0.2}.items():
        run = RunFolder(tmp_path / "runs" / name)
        run.path.mkdir(parents=True)
        (run.path / MODEL).write_bytes(b"weights")
        (run.path / "predictions.csv").write_text("score\n")
        validation = {"auc": auc, "dice_lesions": 1 - auc}
        files = run.describe([MODEL, "predictions.csv"])
        run.write_record({"state": "complete", "files": files, "validation": validation})
    RunFolder(tmp_path / "runs" / "e").write_record({"state": "failed"})
    return tmp_path


def starting_from(name):
    return Run({"starts_from": name}, 1, 1)


def kept(folder):
    there = {path.parent.name for path in folder.glob(f"runs/*/{MODEL}")}
    listed = {n for n in "abcd" if has_model(RunFolder(folder / "runs" / n))}
    assert there == listed
    assert all(RunFolder(folder / "runs" / n).state() == "complete" for n in "abcd")
    return there


@pytest.mark.parametrize(
    ("rule", "metric", "needed", "expected"),
    [
        ("all", "val.auc", [], "abcd"),
        ("none", "val.auc", [], ""),
        ("none", "val.auc", ["d"], "d"),
        ("best", "val.auc", [], "bc"),
        ("best", "val.dice_lesions", [], "ad"),
        ("best", "val.dice_any", ["c"], "acd"),
    ],
)
def test_the_rule_is_kept(folder, rule, metric, needed, expected):
    runs = [starting_from(name) for name in needed]
    drop_models(folder, [["a", "b", "e"], ["c", "d"]], rule, metric, runs)
    assert kept(folder) == set(expected)


def test_a_run_that_any_cell_needs_stays(folder):
    drop_models(folder, [["a", "b"], ["a", "d"]], "best", "val.auc", [])
    assert kept(folder) == {"b", "c", "d"}
    drop_models(folder, [["b"], ["b", "c"]], "best", "val.auc", [])
    assert kept(folder) == {"b", "d"}


@pytest.mark.parametrize("state", ["running", "interrupted", "failed", "complete"])
def test_weights_stay_until_what_starts_from_them_is_complete(folder, complete, state):
    run = starting_from("a")
    complete(run_folder(folder, run.hash), state=state)
    drop_models(folder, [["a"], ["b"]], "none", "val.auc", [run])
    assert kept(folder) == {"c", "d"} | ({"a"} if state != "complete" else set())


def delete(path):
    path.unlink()


def damage(path):
    path.write_bytes(b"x" * path.stat().st_size)


@pytest.mark.parametrize("harm", [delete, damage])
def test_a_run_that_has_lost_its_weights_stays_complete_without_them(folder, harm):
    run = RunFolder(folder / "runs" / "a")
    harm(run.path / MODEL)
    assert mend(run)
    assert run.state(verify=True) == "complete"
    assert kept(folder) == {"b", "c", "d"}
    assert not mend(run), "it has been told"


@pytest.mark.parametrize("harm", [delete, damage])
def test_a_run_that_has_lost_another_file_is_no_longer_complete(folder, harm):
    run = RunFolder(folder / "runs" / "a")
    harm(run.path / "predictions.csv")
    assert not mend(run)
    assert run.state() == "interrupted"


def test_a_run_that_is_whole_or_not_complete_is_left_alone(folder):
    records = {path: path.read_bytes() for path in folder.glob("runs/*/record.json")}
    assert not any(mend(RunFolder(path.parent)) for path in records)
    assert {path: path.read_bytes() for path in records} == records
    assert kept(folder) == set("abcd")


@pytest.fixture
def first(folder, complete):
    """A complete run that was compiled and does not keep its weights."""
    run = Run({"starts_from": None}, 1, 1)
    complete(run_folder(folder, run.hash), device="cuda: X", compile="default")
    return run


def make(folder, run):
    """Compute the run that makes weights again."""
    place = RunFolder(folder / "runs" / weights_again(folder, run).hash)
    (place.path / MODEL).write_bytes(b"the same")
    (place.path / "predictions.csv").write_text("score\n")
    files = place.describe([MODEL, "predictions.csv"])
    place.write_record({"state": "complete", "files": files})
    return place


def test_weights_are_made_beside_the_run_and_compiled_alike(folder, first):
    run = RunFolder(folder / "runs" / first.hash)
    record = run.record()
    again = weights_again(folder, first)
    assert again.hash == f"{first.hash}-weights"
    assert (again.config, again.steps, again.epochs) == (first.config, 1, 1)
    assert RunFolder(folder / "runs" / again.hash).record() == {
        "state": "interrupted", "device": "cuda: X", "compile": "default",
    }  # fmt: skip
    assert run.record() == record
    for _ in range(2):  # as often as they are needed and gone
        place = make(folder, first)
        take_over(folder, first.hash)
        assert weights_again(folder, first) is None
        assert (run.path / MODEL).read_bytes() == b"the same"
        assert run.state(verify=True) == place.state() == "complete"
        drop_models(folder, [[first.hash]], "none", "val.auc", [])
        assert run.record() == record


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_kill_while_weights_are_taken_over_costs_these_alone(folder, first, monkeypatch, n):
    """Before each of the steps: the move, the run's record, the other one's record."""
    run, replace, steps = RunFolder(folder / "runs" / first.hash), Path.replace, []

    def dies(path, target):
        steps.append(path)
        if len(steps) == n:
            raise KeyboardInterrupt
        return replace(path, target)

    make(folder, first)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            take_over(folder, first.hash)
    assert run.state() == "complete"
    is_lost = weights_again(folder, first) is not None
    assert is_lost == (n == 2), "moved, and listed nowhere"
    for _ in range(2):
        if is_lost:
            make(folder, first)
        assert weights_again(folder, first) is None
        assert (run.path / MODEL).read_bytes() == b"the same"
        assert run.state(verify=True) == "complete"
        drop_models(folder, [[first.hash]], "none", "val.auc", [])
        is_lost = True


def test_what_starts_from_lost_weights_has_them_made_again(folder, complete):
    """Three stages: a, b, then one that is not begun; c and d start from none."""
    last = starting_from("b")
    second = Run({"starts_from": "a"}, 1, 1)
    first = Run({"starts_from": None}, 1, 1)
    runs = {"a": first, "b": second, "c": first, "d": first, last.hash: last}
    assert to_make_again(folder, runs) == []
    drop_models(folder, [["a"], ["b"]], "none", "val.auc", [])
    assert to_make_again(folder, runs) == [second, first]
    (run_folder(folder, "c").path / MODEL).unlink()  # deleted, and nothing starts from it
    assert to_make_again(folder, runs) == [second, first]
    complete(run_folder(folder, last.hash))
    assert to_make_again(folder, runs) == []


def test_weights_that_were_deleted_are_foreseen_as_those_that_were_dropped(folder):
    (run_folder(folder, "a").path / MODEL).unlink()
    run = starting_from("a")
    first = Run({"starts_from": None}, 1, 1)
    assert to_make_again(folder, {"a": first, run.hash: run}) == [first]
