import optuna
import pytest

from mtlbench.records import RunFolder
from mtlbench.study.store import Store


def finish(folder, name, auc=0.7):
    run = RunFolder(folder / "runs" / name)
    run.path.mkdir(parents=True)
    validation = {"auc": auc, "dice": None, "dice_lesions": None, "dice_any": None}
    run.write_record({"state": "complete", "files": {}, "validation": validation})


def trials(folder):
    return optuna.load_study(study_name="tiny", storage=f"sqlite:///{folder / 'optuna.db'}").trials


def drain(store):
    asked = []
    while (trial := store.ask()) is not None:
        asked.append(trial)
    return asked


@pytest.fixture
def open_store(tmp_path, design_of):
    design = design_of()
    return lambda: Store(tmp_path / "optuna.db", "tiny", design), design


def test_every_run_is_asked_once_in_the_order_of_the_design(open_store):
    make, design = open_store
    assert [name for _, name in drain(make())] == list(design.runs)


def test_what_is_told_is_what_the_folder_says(open_store, tmp_path):
    make, _ = open_store
    store = make()
    number, name = store.ask()
    finish(tmp_path, name, auc=0.83)
    store.tell(number, name)
    other, unfinished = store.ask()
    store.tell(other, unfinished)
    told = trials(tmp_path)
    assert told[number].values == [0.83, 0.0]
    assert told[number].user_attrs["folder"] == f"runs/{name}"
    assert told[number].params["arm"] == "cls"
    assert told[other].state == optuna.trial.TrialState.FAIL


def test_a_trial_left_running_by_a_dead_driver_is_closed_and_its_run_queued_again(
    open_store, tmp_path
):
    make, design = open_store
    store = make()
    done, lost = store.ask(), store.ask()
    finish(tmp_path, done[1])
    names = [name for _, name in drain(make())]
    assert done[1] not in names
    assert sorted(names) == sorted(set(design.runs) - {done[1]})
    states = [trial.state.name for trial in trials(tmp_path)]
    assert states[done[0]] == "COMPLETE"
    assert states[lost[0]] == "FAIL"


def test_a_lost_store_is_rebuilt_from_the_run_folders(open_store, tmp_path):
    make, design = open_store
    for name in list(design.runs)[:3]:
        finish(tmp_path, name)
    store = make()
    complete = {t.user_attrs["run"] for t in trials(tmp_path) if t.state.name == "COMPLETE"}
    assert complete == set(list(design.runs)[:3])
    assert len(drain(store)) == len(design.runs) - 3


def test_a_changed_design_gets_a_store_of_its_own(open_store, tmp_path, design_of):
    make, _ = open_store
    drain(make())
    changed = design_of(("seeds = [0, 1]", "seeds = [0, 2]"))
    names = [name for _, name in drain(Store(tmp_path / "optuna.db", "tiny", changed))]
    assert sorted(names) == sorted(changed.runs)


def test_a_damaged_store_is_put_aside_and_made_again(open_store, tmp_path):
    make, design = open_store
    (tmp_path / "optuna.db").write_text("not a database at all, " * 100)
    assert [name for _, name in drain(make())] == list(design.runs)
    assert (tmp_path / "optuna.db.damaged").is_file()
