"""Random transforms of training batches, on the device, for image and mask together.

Each case draws from its own counter-based stream keyed by (seed, epoch, case), so what happens to
a case depends neither on the batch it sits in nor on what was drawn before.
B = batch, H W = image size.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mtlbench.config import AugmentConfig

_DRAWS = 7


def uniforms(seed: int, epoch: int, case_B: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """B x count numbers in [0, 1), each a hash of (seed, epoch, case, position).

    SplitMix64 (Steele et al. 2014) over a key made by numpy's SeedSequence.
    """
    key = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    with np.errstate(over="ignore"):
        z = key + (case_B[:, None] * count + np.arange(count) + 1).astype(np.uint64) * np.uint64(
            0x9E3779B97F4A7C15
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    fraction_BD: NDArray[np.float64] = (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return fraction_BD


def augment(
    image_B1HW: Tensor,
    mask_BHW: Tensor,
    case_B: NDArray[np.int64],
    config: AugmentConfig,
    seed: int,
    epoch: int,
) -> tuple[Tensor, Tensor]:
    """Flip, rotate, scale and shift both; change contrast and brightness of the image.

    The image (float, standardised) is sampled bilinearly, the mask (uint8) by nearest neighbour;
    both take their edge's value outside.
    """
    draw_BD = uniforms(seed, epoch, case_B, _DRAWS)
    if config.flip or config.rotate_deg or config.scale or config.shift:
        theta_B23 = _affine(draw_BD, config, *image_B1HW.shape[-2:]).to(image_B1HW.device)
        grid_BHW2 = F.affine_grid(theta_B23, list(image_B1HW.shape), align_corners=False)
        image_B1HW = F.grid_sample(
            image_B1HW, grid_BHW2, mode="bilinear", padding_mode="border", align_corners=False
        )
        mask_B1HW = F.grid_sample(
            mask_BHW[:, None].float(),
            grid_BHW2,
            mode="nearest",
            padding_mode="border",
            align_corners=False,
        )
        mask_BHW = mask_B1HW[:, 0].to(torch.uint8)
    signed_BD = torch.from_numpy((2 * draw_BD - 1).astype(np.float32)).to(image_B1HW.device)
    gain_B111 = 1 + config.contrast * signed_BD[:, 5, None, None, None]
    offset_B111 = config.brightness * signed_BD[:, 6, None, None, None]
    return image_B1HW * gain_B111 + offset_B111, mask_BHW


def _affine(draw_BD: NDArray[np.float64], config: AugmentConfig, height: int, width: int) -> Tensor:
    """Maps from output to input coordinates, B x 2 x 3, in units of half the image's sides."""
    signed_BD = 2 * draw_BD - 1
    flip_B = np.where(config.flip & (draw_BD[:, 0] < 0.5), -1.0, 1.0)
    angle_B = math.radians(config.rotate_deg) * signed_BD[:, 1]
    zoom_B = np.exp(math.log1p(config.scale) * signed_BD[:, 2])
    cos_B, sin_B = zoom_B * np.cos(angle_B), zoom_B * np.sin(angle_B)
    theta_B23 = np.empty((len(draw_BD), 2, 3), dtype=np.float32)
    theta_B23[:, 0, 0] = cos_B
    theta_B23[:, 0, 1] = -sin_B * height / width * flip_B
    theta_B23[:, 1, 0] = sin_B * width / height
    theta_B23[:, 1, 1] = cos_B * flip_B
    theta_B23[:, 0, 2] = 2 * config.shift * signed_BD[:, 3]
    theta_B23[:, 1, 2] = 2 * config.shift * signed_BD[:, 4]
    return torch.from_numpy(theta_B23)
