"""Training passes of other libraries' segmentation networks beside ours, on the same batch.

Their architectures differ from ours, so these are no measures of the same work: they say what a
pass over an image costs with what one would take instead. B = batch, K = classes, H W = image size.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mtlbench.bench.counters import saved_bytes, stopwatch
from mtlbench.bench.measure import Ratio, Row, against, attempt
from mtlbench.bench.train.setting import Setting
from mtlbench.config import CLASSES

K = len(CLASSES)


class Peer(NamedTuple):
    """A network B1HW -> BKHW of another library, and which of ours stands beside it."""

    title: str
    build: Callable[[], nn.Module]
    bar: float | None = None
    """How many times our time its pass is to take at least."""
    backbone: str = "resnet18"
    output_stride: int = 32


@dataclass(frozen=True, slots=True)
class Pass:
    """Forward to the loss, and backward from it."""

    model: nn.Module
    loss: Callable[[], Tensor]

    def __call__(self) -> None:
        """Both."""
        self.model.zero_grad(set_to_none=True)
        torch.autograd.backward(self.loss())


class Cost(NamedTuple):
    """Of an image's pass: MB kept for backward, and GFLOP."""

    saved_mb: float
    gflop: float


def network_rows(setting: Setting) -> list[Row]:
    """Of each peer: time against ours, memory kept for backward, FLOPs."""
    return [row for name, peer in PEERS.items() for row in _rows(name, peer, setting)]


def _rows(name: str, peer: Peer, setting: Setting) -> list[Row]:
    setting = replace(setting, backbone=peer.backbone, output_stride=peer.output_stride)
    beside = f"{peer.title} against our {setting} (architectures differ)"
    time, noise, saved, gflop = None, None, None, None
    if measured := attempt(name, partial(_costs, setting, peer)):
        (time, noise), ours, (saved, gflop) = measured
        beside += f"; ours keeps {ours.saved_mb:.1f} MB and takes {ours.gflop:.1f} GFLOP"
    return [
        Row(f"{name}_time", f"{beside}: times our time", time, "ratio", peer.bar, "higher", noise),
        Row(f"{name}_saved_mb", "what it keeps for the backward pass, an image", saved, "MB", None),
        Row(f"{name}_gflop", "its forward and backward pass, an image", gflop, "GFLOP", None),
    ]  # fmt: skip


def _costs(setting: Setting, peer: Peer) -> tuple[Ratio, Cost, Cost]:
    """The peer's time against ours, our costs and the peer's."""
    ours, theirs = _our_pass(setting), _their_pass(setting, peer.build())
    time = against(theirs, ours, setting.rounds, stopwatch(setting.device))
    return time, _cost(ours, setting.batch_size), _cost(theirs, setting.batch_size)


def _cost(work: Pass, cases: int) -> Cost:
    saved = saved_bytes(work.loss, work.model)
    return Cost(saved / 1e6 / cases, _flops(work) / 1e9 / cases)


def _our_pass(setting: Setting) -> Pass:
    model, tasks, batch = setting.model(), setting.tasks(), setting.batch()
    return Pass(model, lambda: tasks.losses(model, batch, tasks.counts(batch))[0])


def _their_pass(setting: Setting, net: nn.Module) -> Pass:
    """As one would write it: their logits of every pixel, torch's cross-entropy."""
    layout = torch.channels_last if setting.on_gpu else torch.contiguous_format
    model, batch = net.to(setting.device).to(memory_format=layout).train(), setting.batch()
    image_B1HW = batch.image_B1HW.contiguous(memory_format=layout)
    target_BHW = batch.mask_BHW.long()

    def loss() -> Tensor:
        with torch.autocast(setting.device.type, setting.dtype, enabled=setting.on_gpu):
            logit_BKHW = model(image_B1HW)
        return F.cross_entropy(logit_BKHW.float(), target_BHW)

    return Pass(model, loss)


def _flops(work: Pass) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    total: int = counter.get_total_flops()
    return total


class _Grey(nn.Module):
    """torchvision's networks take three channels and give a dict."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image_B1HW: Tensor) -> Tensor:
        logit_BKHW: Tensor = self.net(image_B1HW.expand(-1, 3, -1, -1))["out"]
        return logit_BKHW


def _smp(name: str) -> nn.Module:
    import segmentation_models_pytorch as smp

    net: nn.Module = getattr(smp, name)("resnet18", encoder_weights=None, in_channels=1, classes=K)
    return net


def _fcn() -> nn.Module:
    from torchvision.models.segmentation import fcn_resnet50

    return _Grey(fcn_resnet50(weights=None, weights_backbone=None, num_classes=K))


def _unet() -> nn.Module:
    from monai.networks.nets import UNet

    net: nn.Module = UNet(2, 1, K, (16, 32, 64, 128, 256), (2, 2, 2, 2), num_res_units=2)
    return net


def _seg_res_net() -> nn.Module:
    from monai.networks.nets import SegResNet

    net: nn.Module = SegResNet(2, init_filters=16, in_channels=1, out_channels=K)
    return net


PEERS = {
    "smp_unet": Peer("segmentation_models_pytorch's Unet, ResNet-18", partial(_smp, "Unet"), 2.0),
    "smp_fpn": Peer("its FPN, ResNet-18", partial(_smp, "FPN")),
    "smp_deeplab": Peer("its DeepLabV3+, ResNet-18", partial(_smp, "DeepLabV3Plus")),
    "monai_unet": Peer("MONAI's UNet", _unet),
    "monai_segresnet": Peer("MONAI's SegResNet", _seg_res_net),
    "torchvision_fcn": Peer("torchvision's fcn_resnet50", _fcn, 1.25, "resnet50", 8),
}
