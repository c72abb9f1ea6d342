"""mtlbench doctor: what this machine has, and what is missing."""

import json
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from rich.console import Console

PACKAGES = (
    "mtlbench", "torch", "torchvision", "optuna", "numpy", "pandas", "scipy", "matplotlib",
    "seaborn", "pydicom", "pillow",
)  # fmt: skip
CODECS = {"pylibjpeg": "JPEG and JPEG 2000 in DICOM", "imagecodecs": "JPEG lossless and JPEG-LS"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """Show versions, devices, codecs and disk, what is missing and how to get it."""
    import torch

    from mtlbench.study.data import cache_folder

    cache = cache_folder()
    existing = next(path for path in (cache, *cache.parents) if path.exists())
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
        "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "codecs": {name: find_spec(name) is not None for name in CODECS},
        "cache": {"path": str(cache), "free_gb": round(shutil.disk_usage(existing).free / 1e9, 1)},
        "missing": [
            f"{what}: pip install {name}"
            for name, what in CODECS.items()
            if find_spec(name) is None
        ],
    }
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        Console().print(facts)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
