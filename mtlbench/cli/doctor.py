"""mtlbench doctor: what this machine has, and what is missing."""

import json
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer
from rich.console import Console

PACKAGES = (
    "mtlbench", "torch", "torchvision", "optuna", "numpy", "pandas", "scipy", "matplotlib",
    "pillow", "pydicom", "imagecodecs", "simplejpeg", "xlrd", "pydantic", "safetensors",
)  # fmt: skip
EXTRAS = {
    "ray": "ray", "slurm": "submitit", "tensorboard": "tensorboard", "mlflow": "mlflow-skinny",
    "wandb": "wandb", "postgresql": "psycopg", "dashboard": "optuna-dashboard",
}  # fmt: skip
"""Optional extras, and the package that each brings."""
LITTLE_GB = 20


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """Show versions, extras, devices, codecs and disk, what is missing and how to get it."""
    facts = _facts()
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    console = Console()
    for name, value in facts.items():
        console.print(f"[bold]{name}[/bold]", value)


def _facts() -> dict[str, Any]:
    import torch

    from mtlbench.cli.codecs import TRIALS, faults
    from mtlbench.study.data import cache_folder

    cache = cache_folder()
    existing = next(path for path in (cache, *cache.parents) if path.exists())
    free_gb = round(shutil.disk_usage(existing).free / 1e9, 1)
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    codecs = faults()
    missing = [
        f"{name} cannot be decoded ({fault}): pip install --force-reinstall {TRIALS[name][1]}"
        for name, fault in codecs.items()
        if fault
    ]
    if not gpus:
        missing.append("no CUDA device: runs are computed on the CPU; a GPU needs NVIDIA's driver")
    if free_gb < LITTLE_GB:
        missing.append(f"little room for prepared data at {cache}: MTLBENCH_CACHE names another")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "packages": {name: version(name) for name in PACKAGES},
        "extras": {extra: _extra(extra) for extra in EXTRAS},
        "cuda": gpus,
        "codecs": {name: fault is None for name, fault in codecs.items()},
        "cache": {"path": str(cache), "free_gb": free_gb},
        "missing": missing,
    }


def _extra(name: str) -> str:
    """The version of the package that an extra brings, or how to get it."""
    try:
        return version(EXTRAS[name])
    except PackageNotFoundError:
        return f"not installed: pip install 'mtlbench[{name}]'"
