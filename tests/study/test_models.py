import pytest

from mtlbench.records import RunFolder
from mtlbench.study.models import MODEL, drop_models, has_model


@pytest.fixture
def folder(tmp_path):
    """Four complete runs of validation AUC .1 to .4 with weights, one that runs."""
    for name, auc in {"a": 0.1, "b": 0.4, "c": 0.3, "d": 0.2}.items():
        run = RunFolder(tmp_path / "runs" / name)
        run.path.mkdir(parents=True)
        (run.path / MODEL).write_bytes(b"weights")
        validation = {"auc": auc, "dice_lesions": 1 - auc}
        files = run.describe([MODEL])
        run.write_record({"state": "complete", "files": files, "validation": validation})
    RunFolder(tmp_path / "runs" / "e").write_record({"state": "failed"})
    return tmp_path


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
    drop_models(folder, [["a", "b", "e"], ["c", "d"]], rule, metric, needed)
    assert kept(folder) == set(expected)


def test_a_run_that_any_cell_needs_stays(folder):
    drop_models(folder, [["a", "b"], ["a", "d"]], "best", "val.auc", [])
    assert kept(folder) == {"b", "c", "d"}
    drop_models(folder, [["b"], ["b", "c"]], "best", "val.auc", [])
    assert kept(folder) == {"b", "d"}
