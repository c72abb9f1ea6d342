"""The weights that a backbone starts from: `none`, `imagenet`, or a file, known by its content."""

from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from mtlbench.errors import StudyError
from mtlbench.records import file_sha256

NAMED = ("none", "imagenet")
CONTENT = "sha256:"
"""What begins the identity of a file."""


def weights_file(weights: str) -> Path | None:
    """The file that `model.weights` names; None where it is a word.

    Raises:
        StudyError: there is no such file.
    """
    if weights in NAMED:
        return None
    path = Path(weights).expanduser().resolve()
    if not path.is_file():
        raise StudyError(f"model.weights must be 'none', 'imagenet' or a file, but got {weights!r}")
    return path


def weights_identity(weights: str) -> str:
    """What a run's hash covers of them: the word, or the content of the file, wherever it lies."""
    path = weights_file(weights)
    if path is None:
        return weights
    found = path.stat()
    return _identity(path, found.st_size, found.st_mtime_ns)


def weights_name(weights: str, backbone: str) -> str:
    """Name them for the record: what `imagenet` means, versions of torchvision say differently."""
    if weights == "imagenet":
        from torchvision.models import get_model_weights

        return str(get_model_weights(backbone).DEFAULT)
    path = weights_file(weights)
    return weights if path is None else path.name


def load_weights(weights: str, backbone: str) -> dict[str, Tensor] | None:
    """The tensors, named as in torchvision's network of that name; None: start from none."""
    if weights == "none":
        return None
    if weights == "imagenet":
        from torchvision.models import get_model_weights

        entry = get_model_weights(backbone).DEFAULT
        state: dict[str, Tensor] = entry.get_state_dict(progress=False, check_hash=True)
        return state
    path = weights_file(weights)
    assert path is not None
    if path.suffix == ".safetensors":
        return load_file(path)
    loaded: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return loaded


@cache
def _identity(path: Path, size: int, mtime_ns: int) -> str:
    """A design names its file once a run: it is read again only when it has been written."""
    return CONTENT + file_sha256(path)
