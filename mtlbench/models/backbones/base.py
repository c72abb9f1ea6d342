"""What every backbone is, and how its output stride is set."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn


class Backbone(NamedTuple):
    """`features` maps B1HW to BCH'W', with H' = H / output stride; `channels` is C."""

    features: nn.Module
    channels: int


def set_output_stride(stages: Sequence[nn.Module], strides: Sequence[int], wanted: int) -> None:
    """Trade stride for dilation in the stages whose output stride would exceed `wanted`.

    As in DeepLab (Chen et al. 2017): the first block keeps the dilation of the stage before.
    """
    dilation = 1
    for stage, stride in zip(stages, strides, strict=True):
        if stride <= wanted:
            continue
        for index, block in enumerate(stage.children()):
            rate = dilation if index == 0 else dilation * 2
            for conv in (module for module in block.modules() if isinstance(module, nn.Conv2d)):
                conv.stride = (1, 1)
                if conv.kernel_size == (3, 3):
                    conv.dilation = conv.padding = (rate, rate)
        dilation *= 2
