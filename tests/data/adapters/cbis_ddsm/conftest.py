from collections.abc import Callable
from pathlib import Path

import pytest

from mtlbench.config import DataConfig
from mtlbench.data.adapters import cbis_ddsm


@pytest.fixture(scope="session")
def read() -> Callable[..., tuple[list, list[tuple]]]:
    """Give a reader of images, and of findings as (level, file, row, message, image, action)."""

    def images_and_findings(root: Path, **config: object) -> tuple[list, list[tuple]]:
        index = cbis_ddsm.read(root, DataConfig(**config))
        return index.mammograms, [tuple(finding) for finding in index.findings]

    return images_and_findings
