"""Phantoms as files in a data set's own layout: name → writer, in `WRITERS`.

Each writer writes the images first and the file that lists them last, atomically: a folder
without that file is not taken for a data set.
"""

from collections.abc import Callable
from pathlib import Path

from mtlbench.config import DataConfig
from mtlbench.data.phantoms.writers import cbis_ddsm, ddsm, folder, inbreast, mias, vindr
from mtlbench.errors import DataError

WRITERS: dict[str, Callable[[Path, DataConfig], None]] = {
    "cbis-ddsm": cbis_ddsm.write,
    "ddsm": ddsm.write,
    "folder": folder.write,
    "inbreast": inbreast.write,
    "mias": mias.write,
    "vindr": vindr.write,
}
"""Layout → (new or empty folder, settings) → None; DataError where it cannot hold so many."""


def write(target: Path, layout: str, config: DataConfig) -> None:
    """Write `config.patients` phantom patients as one of `WRITERS` into a new or empty folder.

    Raises:
        DataError: the folder is not empty, or the layout cannot hold so many patients.

    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target}: must be a new or empty folder, but there is something in it")
    WRITERS[layout](target, config)
