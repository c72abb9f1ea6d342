import subprocess

import pytest

from mtlbench.training.provenance import git_commit


def git(root, *arguments):
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    command = ["git", "-C", root, *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """A repository with the parts of ours, and its commit."""
    root = tmp_path / "checkout"
    for name in ("mtlbench/a.py", "studies/a.toml", "results/a/report.html"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text("")
    (root / "pyproject.toml").write_text('[project]\nname = "mtlbench"\n')
    git(tmp_path, "init", "checkout")
    git(root, "add", ".")
    git(root, "commit", "-m", "all")
    return root, git(root, "log", "-1", "--format=%H")


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("results/a/report.html", ""),
        ("README.md", ""),
        ("mtlbench/a.py", "-dirty"),
        ("mtlbench/new.py", "-dirty"),
        ("studies/a.toml", "-dirty"),
        ("pyproject.toml", "-dirty"),
    ],
)
def test_only_what_shapes_a_result_makes_a_checkout_dirty(checkout, name, suffix):
    root, commit = checkout
    with (root / name).open("a") as stream:
        stream.write("# changed")
    assert git_commit(root) == commit + suffix


def test_a_checkout_without_changes_is_named_by_its_commit(checkout):
    root, commit = checkout
    assert git_commit(root) == commit


def test_a_package_inside_another_repository_has_no_commit(checkout):
    root, _ = checkout
    inside = root / "lib"
    inside.mkdir()
    assert git_commit(inside) is None
    (inside / "pyproject.toml").write_text((root / "pyproject.toml").read_text())
    assert git_commit(inside) is None  # ours, but not the top of a repository


def test_a_repository_that_has_copied_the_package_has_no_commit_of_ours(checkout):
    root, _ = checkout
    (root / "pyproject.toml").write_text('[project]\nname = "somebody-else"\n')
    assert git_commit(root) is None


def test_a_machine_without_git_tells_no_commit(checkout, monkeypatch):
    root, _ = checkout
    monkeypatch.setenv("PATH", "")
    assert git_commit(root) is None
