"""From stored integers to what the network sees: transforms of batches on the device.

All that an epoch's batches need is there before the first, so that a step waits for nothing and
only slices. B = batch, N = cases in the order of use, H W = image size, T = length of a tile.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mtlbench.data.draws import Draws, Floats, Noise, spline_basis


def upload(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """The array on the device; on CUDA from pinned memory, so that nothing waits for the copy."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


class Transform:
    """Standardises an epoch's batches and transforms image and mask together, as drawn."""

    def __init__(
        self, draws: Draws, scale: float, shift: float, size: tuple[int, int], device: torch.device
    ) -> None:
        """`scale` · integer + `shift` is the standardised value; `size` is the height and width."""
        scale_N = (draws.gain_N * np.float64(scale)).astype(np.float32)
        shift_N = (draws.gain_N * np.float64(shift) + draws.offset_N).astype(np.float32)
        self._scale_N111 = upload(scale_N[:, None, None, None], device)
        self._shift_N111 = upload(shift_N[:, None, None, None], device)
        self._warp = self._noise = None
        if draws.affine_N23 is not None:
            self._warp = _Warp(draws.affine_N23, draws.control_N2rc, size, device)
        if draws.noise is not None:
            self._noise = _Fields(draws.noise, size, device)

    def __call__(self, image_BHW: Tensor, mask_BHW: Tensor, cases: slice) -> tuple[Tensor, Tensor]:
        """Images (B1HW, float32) and masks (BHW, uint8) of the `cases` among the N.

        The integers of an image are uint8, or uint16 as the bits of int16.
        The image is sampled bilinearly, the mask by nearest neighbour; both take their edge's
        value outside.
        """
        if image_BHW.dtype == torch.int16:
            image_BHW = image_BHW.view(torch.uint16)
        image_B1HW = image_BHW[:, None].float()
        if self._warp:
            image_B1HW, mask_BHW = self._warp(image_B1HW, mask_BHW, cases)
        image_B1HW = torch.addcmul(self._shift_N111[cases], image_B1HW, self._scale_N111[cases])
        if self._noise:
            image_B1HW += self._noise(cases)
        return image_B1HW, mask_BHW


class _Warp:
    """Affine map, and free-form deformation on top of it."""

    def __init__(
        self,
        affine_N23: Floats,
        control_N2rc: Floats | None,
        size: tuple[int, int],
        device: torch.device,
    ) -> None:
        height, width = size
        self._affine_N23 = upload(affine_N23, device)
        self._x_W, self._y_H1 = _centres(width, device), _centres(height, device)[:, None]
        self._control_N2rc = None
        if control_N2rc is not None:
            self._control_N2rc = upload(control_N2rc, device)
            self._basis_Hr = upload(spline_basis(height, height), device)
            self._basis_cW = upload(spline_basis(width, height), device).T

    def __call__(self, image_B1HW: Tensor, mask_BHW: Tensor, cases: slice) -> tuple[Tensor, Tensor]:
        grid_BHW2 = self._grid(cases)
        mask_B1HW = mask_BHW[:, None].float()
        return (
            _sample(image_B1HW, grid_BHW2, "bilinear"),
            _sample(mask_B1HW, grid_BHW2, "nearest")[:, 0].to(torch.uint8),
        )

    def _grid(self, cases: slice) -> Tensor:
        """Where each pixel is taken from; x and y are planes, so that sums run along rows."""
        by_x_B21, by_y_B21, shift_B21 = self._affine_N23[cases, :, :, None].unbind(2)
        along_B21W = torch.addcmul(shift_B21, by_x_B21, self._x_W)[:, :, None]
        grid_B2HW = along_B21W + by_y_B21[..., None] * self._y_H1
        if self._control_N2rc is not None:
            grid_B2HW += self._basis_Hr @ (self._control_N2rc[cases] @ self._basis_cW)
        return grid_B2HW.permute(0, 2, 3, 1)


class _Fields:
    """Each image's window of the noise tile."""

    def __init__(self, noise: Noise, size: tuple[int, int], device: torch.device) -> None:
        self._size = size
        self._window_N = upload(noise.window_N, device)
        self._windows = upload(noise.tile_T, device).unfold(0, math.prod(size), 1)

    def __call__(self, cases: slice) -> Tensor:
        noise_BX = self._windows.index_select(0, self._window_N[cases])
        return noise_BX.view(-1, 1, *self._size)


def _sample(image_B1HW: Tensor, grid_BHW2: Tensor, mode: str) -> Tensor:
    return F.grid_sample(
        image_B1HW, grid_BHW2, mode=mode, padding_mode="border", align_corners=False
    )


def _centres(length: int, device: torch.device) -> Tensor:
    """Of pixels, in units of half the side, from −1 to 1."""
    return upload(((2 * np.arange(length) + 1) / length - 1).astype(np.float32), device)
