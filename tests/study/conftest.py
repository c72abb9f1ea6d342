import subprocess
from functools import partial
from pathlib import Path

import pytest

from mtlbench.config import load_study
from mtlbench.study.cells import expand
from mtlbench.study.data import load_data
from mtlbench.study.design import build_design
from mtlbench.study.executors import Ended


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cache(cache, monkeypatch):
    monkeypatch.setenv("MTLBENCH_CACHE", str(cache))


@pytest.fixture
def study_file(tmp_path, tiny_study):
    """Write the tiny study, with replacements, and give its path."""

    def write(*replacements: tuple[str, str]) -> Path:
        text = tiny_study
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "tiny.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def design_of(study_file):
    """Give the design of the tiny study, with replacements."""

    def make(*replacements: tuple[str, str]):
        study = load_study(study_file(*replacements))
        return build_design(study, expand(study), load_data(study, {}))

    return make


@pytest.fixture(scope="session")
def complete():
    """Give what writes a run that is complete, with its predictions and these facts."""

    def write(run, **facts):
        run.path.mkdir(parents=True, exist_ok=True)
        (run.path / "predictions.csv").write_text("score\n")
        files = run.describe(["predictions.csv"])
        run.write_record({"state": "complete", "files": files, "validation": {}} | facts)

    return write


class Here:
    """An executor that computes a run by a function of its task, in this process, at once."""

    slots = 1

    def __init__(self, compute, *_):
        self.compute, self.ended = compute, []

    def submit(self, task):
        self.compute(task)
        self.ended.append(Ended(task.folder.name, None))

    def adopts(self, folder):
        return False

    def wait(self, timeout_s):
        ended, self.ended = self.ended, []
        return ended

    def close(self):
        pass


@pytest.fixture(scope="session")
def executor_of():
    """Give the maker of an entry of `EXECUTORS` of the function that computes a run."""
    return lambda compute: partial(Here, compute)


@pytest.fixture
def disk_of(tmp_path):
    """Make a file system of so many KB, and then change its size; give its folder."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def make(kilobytes):
        again = "remount," if disk.is_mount() else ""
        command = ["mount", "-t", "tmpfs", "-o", f"{again}size={kilobytes}k", "tmpfs", disk]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no file system can be mounted: {done.stderr.strip()}")
        return disk

    yield make
    if disk.is_mount():
        subprocess.run(["umount", "--lazy", disk], check=True)
