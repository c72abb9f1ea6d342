"""Fully convolutional feature extractors T_f: grey image in, feature map and its channels out.

To add one: a file with a function `ModelConfig -> Backbone`, imported here and given a line in
`BACKBONES`. It must honour `output_stride` 8, 16 and 32; the tests run over the dict.
"""

from collections.abc import Callable
from functools import partial

from mtlbench.config import ModelConfig
from mtlbench.models.backbones.base import Backbone
from mtlbench.models.backbones.resnet import small_resnet, torchvision_resnet

BACKBONES: dict[str, Callable[[ModelConfig], Backbone]] = {
    "small": small_resnet,
    "resnet18": partial(torchvision_resnet, name="resnet18"),
    "resnet34": partial(torchvision_resnet, name="resnet34"),
    "resnet50": partial(torchvision_resnet, name="resnet50"),
    "resnet101": partial(torchvision_resnet, name="resnet101"),
}

__all__ = ["BACKBONES", "Backbone"]
