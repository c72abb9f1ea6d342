"""Figure 1 of Le et al. 2019: a shared feature map T_f with two heads, S-Net and C-Net.

B = batch, H W = image size, h w = feature map size, C = feature channels, K = five classes.
"""

import torch
from torch import Tensor, nn

from mtlbench.config import CLASSES, ModelConfig
from mtlbench.models.backbones import BACKBONES


class JointNet(nn.Module):
    """Backbone, S-Net (1 x 1 convolution to K maps) and C-Net (global pooling, one logit)."""

    def __init__(self, config: ModelConfig) -> None:
        """Build and initialise; both heads always, in this order, whatever will be trained."""
        super().__init__()
        backbone = BACKBONES[config.backbone](config)
        self.features = backbone.features
        self.s_net = nn.Conv2d(backbone.channels, len(CLASSES), kernel_size=1)
        self.c_net = nn.Linear(backbone.channels, 1)
        self.pooling = config.pooling

    def forward(
        self, image_B1HW: Tensor, *, classify: bool, segment: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """Logits of the tasks asked for: cancer (B) and classes at feature size (BKhw).

        The heads are not autocast: bfloat16 has 8 bits of a number, and rounded scores tie.
        """
        features_BChw = self.features(image_B1HW)
        with torch.autocast(features_BChw.device.type, enabled=False):
            features_BChw = features_BChw.to(self.c_net.weight.dtype)
            cls_B = self._classify(features_BChw) if classify else None
            seg_BKhw = self.s_net(features_BChw) if segment else None
        return cls_B, seg_BKhw

    def _classify(self, features_BChw: Tensor) -> Tensor:
        pooled_BC = (
            features_BChw.mean(dim=(2, 3))
            if self.pooling == "mean"
            else features_BChw.amax(dim=(2, 3))
        )
        logit_B: Tensor = self.c_net(pooled_BC).squeeze(1)
        return logit_B


def build_model(config: ModelConfig, seed: int) -> JointNet:
    """A freshly initialised network; the same seed gives the same weights.

    The generator of the caller is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return JointNet(config)
