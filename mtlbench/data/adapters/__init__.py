"""Readers of data sets: a folder in that set's own layout → `Index`.

Adding one: a file with `read(root, config)`, a line here, and a line in
`tests/data/adapters/test_adapters.py`, whose checks every adapter inherits.
"""

from collections.abc import Callable
from pathlib import Path

from mtlbench.config import DataConfig
from mtlbench.data.adapters import cbis_ddsm, ddsm, folder, inbreast, mias, phantom, vindr
from mtlbench.data.mammogram import Index
from mtlbench.errors import DataError, StudyError

Adapter = Callable[[Path, DataConfig], Index]
"""(root, config) → images and findings; raises DataError where the folder is no such set."""

ADAPTERS: dict[str, Adapter] = {
    "cbis-ddsm": cbis_ddsm.read,
    "ddsm": ddsm.read,
    "folder": folder.read,
    "inbreast": inbreast.read,
    "mias": mias.read,
    "phantom": phantom.read,
    "vindr": vindr.read,
}


def read_index(name: str, root: Path, config: DataConfig) -> Index:
    """Index a data set with the adapter of this name.

    Raises:
        StudyError: there is no such adapter.
        DataError: the folder is not such a data set, or names no image at all.
    """
    if name not in ADAPTERS:
        raise StudyError(f"dataset must be one of {sorted(ADAPTERS)}, but got {name!r}")
    index = ADAPTERS[name](root, config)
    if not index.mammograms and not index.findings:
        raise DataError(f"{root}: must hold at least one image, but holds none")
    return Index(index.mammograms, [finding.below(root) for finding in index.findings], root)
