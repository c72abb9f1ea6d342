"""Whose weights must exist, on small designs that are really trained, in this process."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from mtlbench.records import MODEL, RunFolder
from mtlbench.report.collect import read_study
from mtlbench.study import session as sessions
from mtlbench.study.retry import forgive
from mtlbench.study.session import Options, drive, open_session
from mtlbench.study.weights import AGAIN, first_of
from mtlbench.training.checkpoint import Stopped, StopRequest
from mtlbench.training.run import execute

RESULTS = ("history.csv", "predictions.csv", "lesions.csv", "candidates.csv", "panels.npz")


class Computed:
    """How runs are computed; it notes which in `asked`.

    The driver is stopped after the first step of a run whose name ends with `stop_at`; runs whose
    names end with `fail_at` fail.
    """

    asked: list[str]
    stop_at = fail_at = "none of them"

    @classmethod
    def compute(cls, task):
        name, stop = task.folder.name, StopRequest()
        cls.asked.append(name)
        stop.asked = name.endswith(cls.stop_at)
        if name.endswith(cls.fail_at):
            failed = {"state": "failed", "error": "DivergedError: nan", "final": True}
            RunFolder(task.folder).write_record(RunFolder(task.folder).record() | failed)
        else:
            execute(replace(task, devices=("cpu",)), stop)


class Results:
    """The tiny study of some arms below one folder."""

    def __init__(self, folder, text, keep):
        self._home, self._keep = folder, keep
        self.folder = folder / "results" / "tiny"
        head, *arms = text.split("[[arms]]")
        self._head = head.replace('auc = "cls"', 'auc = "seg"')
        self._arms = {arm.split('"')[1]: f"[[arms]]{arm}" for arm in arms}
        self.failures: dict[str, str] = {}

    def run(self, *arms, only=()):
        """Start the study of these arms; give the runs that were computed and what was said."""
        Computed.asked = []
        file, console = self._home / "tiny.toml", Console(file=io.StringIO(), width=200)
        keep = f'[resources]\nkeep = "{self._keep}"\n'
        file.write_text(self._head + keep + "".join(self._arms[arm] for arm in arms))
        session = open_session(file, self._home / "results", {}, console)
        self.failures = drive(session, Options([("cpu",)], only=only), console)
        return Computed.asked, console.file.getvalue()

    def of(self, arm):
        """The runs of an arm, as the report reads them; only complete ones."""
        (cell,) = [cell for cell in read_study(self.folder).complete if cell.arm == arm]
        assert len(cell.runs) == 2
        return [run.folder for run in cell.runs]

    def bytes_of(self, arm, *files):
        """Of an arm's runs (run, file) → what is in it."""
        pairs = [(run, file) for run in self.of(arm) for file in files]
        return {(run.name, file): (run.path / file).read_bytes() for run, file in pairs}

    def weights(self):
        return {path.parent.name for path in self.folder.glob(f"runs/*/{MODEL}")}


@pytest.fixture
def results(tmp_path, tiny_study, monkeypatch, executor_of):
    """Make a study that keeps weights by a rule."""
    monkeypatch.setitem(sessions.EXECUTORS, "local", executor_of(Computed.compute))
    return lambda keep: Results(tmp_path, tiny_study, keep)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny_study, cache, executor_of):
    """What the runs of `sequential` write where all weights are kept."""
    whole = Results(tmp_path_factory.mktemp("undisturbed"), tiny_study, "all")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTLBENCH_CACHE", str(cache))
        patch.setitem(sessions.EXECUTORS, "local", executor_of(Computed.compute))
        whole.run("seg", "sequential")
    return whole.bytes_of("sequential", *RESULTS, MODEL)


def names_of(runs):
    return {run.name for run in runs}


def again(runs):
    return {run.name + AGAIN for run in runs}


def attempts(runs):
    return [run.record()["attempts"] for run in runs]


@pytest.mark.parametrize("keep", ["none", "best"])
def test_a_stage_that_an_unwanted_run_starts_from_is_trained_once(results, keep):
    study = results(keep)
    asked, _ = study.run("seg", "sequential", only=["seg"])
    assert study.weights() == names_of(study.of("seg")) == set(asked)
    asked, _ = study.run("seg", "sequential")
    assert set(asked) == names_of(study.of("sequential"))
    assert attempts(study.of("seg")) == [1, 1]
    assert len(study.weights()) == {"none": 0, "best": 2}[keep]


def test_only_leaves_what_other_arms_have_as_it_is(results):
    study = results("none")
    study.run("cls", "seg")
    before = study.bytes_of("seg", "record.json", "predictions.csv")
    for run in study.of("seg"):
        (run.path / "panels.npz").unlink()  # which the report can do without
    asked, said = study.run("cls", "seg", "sequential", only=["cls"])
    assert (asked, said) == ([], "")
    assert study.bytes_of("seg", "record.json", "predictions.csv") == before


def test_weights_that_are_not_kept_are_made_again_with_the_same_bits(results, undisturbed):
    study = results("none")
    study.run("cls", "seg")
    before = study.bytes_of("seg", "record.json", *RESULTS)
    asked, _ = study.run("cls", "seg", "sequential")
    seg, sequential = study.of("seg"), study.of("sequential")
    assert len(asked) == 4
    assert set(asked) == again(seg) | names_of(sequential)
    assert study.bytes_of("seg", "record.json", *RESULTS) == before
    assert study.weights() == set()
    assert study.bytes_of("sequential", *RESULTS).items() < undisturbed.items()


def test_results_stay_complete_where_making_weights_is_interrupted(
    results, undisturbed, monkeypatch
):
    study = results("none")
    study.run("seg")
    before = study.bytes_of("seg", "record.json", *RESULTS)
    with monkeypatch.context() as patch:
        patch.setattr(Computed, "stop_at", AGAIN)
        with pytest.raises(Stopped):
            study.run("seg", "sequential")
    assert study.bytes_of("seg", "record.json", *RESULTS) == before
    assert [cell.arm for cell in read_study(study.folder).complete] == ["seg"]
    asked, _ = study.run("seg", "sequential")
    first, *_ = asked
    assert RunFolder(study.folder / "runs" / first).record()["attempts"] == 2
    assert set(asked) == again(study.of("seg")) | names_of(study.of("sequential"))
    assert study.bytes_of("seg", "record.json", *RESULTS) == before
    assert study.bytes_of("sequential", *RESULTS).items() < undisturbed.items()


def test_lost_weights_cost_no_results_and_are_made_again_where_they_are_needed(
    results, undisturbed
):
    study = results("all")
    study.run("seg")
    before = study.bytes_of("seg", MODEL, *RESULTS)
    deleted, damaged = (run.path / MODEL for run in study.of("seg"))
    deleted.unlink()
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    asked, said = study.run("seg")
    assert (asked, said) == ([], "complete runs whose weights are gone or damaged: 2\n")
    assert study.weights() == set()
    assert study.run("seg") == ([], "")
    study.run("seg", "sequential")
    assert study.bytes_of("seg", MODEL, *RESULTS) == before
    assert study.bytes_of("sequential", *RESULTS, MODEL) == undisturbed
    assert attempts(study.of("seg")) == [1, 1]


def test_weights_that_cannot_be_made_again_fail_what_starts_from_them_alone(results, monkeypatch):
    study = results("none")
    study.run("seg")
    with monkeypatch.context() as patch:
        patch.setattr(Computed, "fail_at", AGAIN)
        study.run("seg", "sequential")
    failures = study.failures
    assert again(study.of("seg")) < set(failures)
    assert len(failures) == 4
    assert [cell.arm for cell in read_study(study.folder).complete] == ["seg"]
    assert study.run("seg", "sequential")[0] == []
    assert study.failures == failures, "given up for good, over all starts"
    assert set(forgive(study.folder)) == set(failures)
    study.run("seg", "sequential")
    assert study.failures == {}
    assert attempts(study.of("seg") + study.of("sequential")) == [1, 1, 1, 1]


def test_weights_are_made_for_what_is_wanted_alone(results):
    """Two more arms start from a stage, one after the other."""
    study = results("none")
    study.run("seg")
    study.run("seg", "sequential", "joint", only=["joint"])
    assert not [name for name in Computed.asked if name != first_of(name)]
    study.run("seg", "sequential", "joint", only=["sequential"])
    assert set(Computed.asked) == again(study.of("seg")) | names_of(study.of("sequential"))
