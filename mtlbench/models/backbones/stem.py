"""The first convolution of a ResNet, of one grey channel.

B = batch, H W = image size, h w = half of it, rounded up, C = channels made.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GreyStem(nn.Conv2d):
    """7 x 7, stride 2, from one channel to 64.

    Tensor cores work on 8 channels at least, and cuDNN pads one to as many, going from layout to
    layout. On CUDA the convolution is therefore computed as one of 4 x 1 over 16 channels: a row of
    them holds the 2 x 8 pixels that two of the kernel's rows read. The products are the same.
    """

    def __init__(self) -> None:
        """As torch initialises it."""
        super().__init__(1, 64, kernel_size=7, stride=2, padding=3, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """B1HW to BChw."""
        return self.folded(input) if input.device.type == "cuda" else super().forward(input)

    def folded(self, image_B1HW: Tensor) -> Tensor:
        """The same as 4 x 1 convolution, channels last."""
        if torch.is_autocast_enabled(image_B1HW.device.type):
            image_B1HW = image_B1HW.to(torch.get_autocast_dtype(image_B1HW.device.type))
        height, width = image_B1HW.shape[-2:]
        below, right = 3 + height % 2, 3 + width % 2
        padded_BHW = F.pad(image_B1HW[:, 0], (3, right, 3, below))
        pixels_Bhw28 = padded_BHW.unfold(1, 2, 2).unfold(2, 8, 2)
        rows_B16hw = pixels_Bhw28.flatten(3).permute(0, 3, 1, 2)
        kernel_C188 = F.pad(self.weight, (0, 1, 0, 1))
        kernel_C1641 = kernel_C188.view(-1, 4, 2, 8).permute(0, 2, 3, 1).reshape(-1, 16, 4, 1)
        return F.conv2d(rows_B16hw, kernel_C1641.contiguous(memory_format=torch.channels_last))
