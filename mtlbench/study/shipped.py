"""The studies that travel with the package."""

from pathlib import Path

import mtlbench
from mtlbench.errors import StudyError


def shipped() -> dict[str, Path]:
    """Name → file of every shipped study: in the wheel, or beside the package in a checkout."""
    package = Path(mtlbench.__file__).parent
    folder = package / "_studies" if (package / "_studies").is_dir() else package.parent / "studies"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_study(name: str) -> Path:
    """A study file by its path, or a shipped one by its name.

    Raises:
        StudyError: there is neither; the shipped names are listed.
    """
    path = Path(name)
    return path if path.is_file() else _shipped(name, "a study file or one of the shipped studies")


def init_study(name: str, folder: Path) -> Path:
    """Write a copy of a shipped study to edit.

    Raises:
        StudyError: no such study is shipped, or the file exists.
    """
    source, target = _shipped(name, "one of the shipped studies"), folder / f"{name}.toml"
    if target.exists():
        raise StudyError(f"{target}: must not exist yet")
    target.write_bytes(source.read_bytes())
    return target


def _shipped(name: str, wanted: str) -> Path:
    studies = shipped()
    if name not in studies:
        raise StudyError(f"{name}: must be {wanted} {', '.join(studies)}")
    return studies[name]
