"""The loss tail against interpolation and cross-entropy as one writes them by hand.

B = batch, K = classes, H W = image size, h w = feature map size.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mtlbench.bench.counters import peak_bytes, saved_bytes, stopwatch
from mtlbench.bench.measure import Result, Row, Work, against, largest_noise, ratio_row
from mtlbench.config import CLASSES, IGNORED, LossConfig, ResourcesConfig
from mtlbench.data.resident import Batch
from mtlbench.training.host import set_up_host
from mtlbench.training.losses import LOSSES, SegmentationLoss, pixel_weight
from mtlbench.training.provenance import device_name
from mtlbench.training.tasks import Tasks

K = len(CLASSES)
PAPER, SMALL = (1152, 832), (288, 208)
STRIDE = 32
ROUNDS = 15
LESIONS = 12
"""Blobs of 2 to 64 pixels in a mask."""


class Example(NamedTuple):
    """What a loss is given, of B cases."""

    logit_BKhw: Tensor
    batch: Batch
    weight_K: Tensor


def run() -> Result:
    """Measure on the GPU where there is one, else with as many threads as a run has by default."""
    set_up_host(ResourcesConfig().threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    paper, small, by = example(PAPER, 1, device), example(SMALL, 8, device), stopwatch(device)
    plain = by_hand(paper.batch)
    naive, exact = partial(differentiate, plain, paper), partial(differentiate, tail(1), paper)
    pooled = {stride: partial(differentiate, tail(stride), paper) for stride in (4, 8)}
    for work in (naive, exact):
        work()  # at their first call a GPU's libraries take memory to work in
    peak = peak_bytes(exact, device) / peak_bytes(naive, device)
    saved = _saved(tail(1), paper) / _saved(plain, paper)
    worst = max(gradient_error(one) for one in hard_examples(device))
    ours = partial(differentiate, tail(1), small)
    theirs = partial(differentiate, by_hand(small.batch), small)
    beside = partial(_timed, by=by)
    rows = [
        beside("tail_time", "forward and backward at 1152 x 832, one image", 1.15, exact, naive),
        beside("tail_time_small", "the same of 8 images of 288 x 208", None, ours, theirs),
        Row("tail_peak", "most memory held at a time", peak, "ratio", 0.15, noise=0.0),
        Row("tail_saved", "memory kept for the backward pass", saved, "ratio", 0.01, noise=0.0),
        Row("tail_gradient", "largest relative error of the gradient, against float64",
            worst, "relative error", 1e-5, noise=0.0),
        *(beside(f"pooled{stride}_time", f"squares of {stride} pixels a side, time", bar, work,
                 naive)
          for (stride, work), bar in zip(pooled.items(), (0.15, 0.05), strict=True)),
        *(Row(f"pooled{stride}_cosine", "cosine of the exact gradient and the pooled one's",
              cosine(stride, example(PAPER, 4, device, seed=1)), "cosine", 0.999, "higher", 0.0)
          for stride in pooled),
    ]  # fmt: skip
    facts = {"device": device_name(device), "threads": torch.get_num_threads()}
    return Result(largest_noise(rows), rows, facts)


def _timed(
    row_id: str, what: str, bar: float | None, work: Work, base: Work, by: Callable[[Work], float]
) -> Row:
    return ratio_row(row_id, what, bar, partial(against, work, base, ROUNDS, by))


def example(size: tuple[int, int], cases: int, device: torch.device, seed: int = 0) -> Example:
    """Random logits at stride 32, masks with blobs of every class, weights of rare classes."""
    random = np.random.default_rng(seed)
    h, w = (-(-side // STRIDE) for side in size)
    logit_BKhw = torch.from_numpy(random.standard_normal((cases, K, h, w)).astype(np.float32))
    mask_BHW = np.stack([_mask(size, random) for _ in range(cases)])
    yes_B = torch.ones(cases, dtype=torch.bool, device=device)
    blank_B1HW = torch.empty(cases, 1, 0, 0, device=device)
    batch = Batch(
        blank_B1HW, torch.from_numpy(mask_BHW).to(device), yes_B.float(), yes_B, yes_B,
        np.arange(cases),
    )  # fmt: skip
    weight_K = torch.tensor([0.05, 1.0, 1.2, 1.3, 1.45], device=device)
    return Example(logit_BKhw.to(device).requires_grad_(), batch, weight_K)


def _mask(size: tuple[int, int], random: np.random.Generator) -> NDArray[np.uint8]:
    rows, columns = np.ogrid[: size[0], : size[1]]
    mask_HW = np.zeros(size, dtype=np.uint8)
    for lesion in range(LESIONS):
        top, left = random.uniform(0, size[0]), random.uniform(0, size[1])
        tall, wide = 2 ** random.uniform(0, 5, 2)  # half axes of 1 to 32 pixels
        inside_HW = ((rows - top) / tall) ** 2 + ((columns - left) / wide) ** 2 <= 1
        mask_HW[inside_HW] = 1 + lesion % (K - 1)
    return mask_HW


def hard_examples(device: torch.device) -> list[Example]:
    """Ignored pixels, weights of 0, absent classes, odd sizes, one case, a case without a mask."""
    plain = example(PAPER, 1, device)
    odd = example((577, 413), 3, device)
    odd.batch.mask_BHW[:, 100:300, 50:90] = IGNORED
    absent = example(SMALL, 2, device)
    absent.batch.mask_BHW[absent.batch.mask_BHW == K - 1] = 0
    unmasked = example(SMALL, 2, device)
    unmasked.batch.has_mask_B[0] = False
    zero_K = torch.tensor([0.0, 1.0, 0.0, 2.0, 0.5], device=device)
    return [plain, odd, absent, unmasked, odd._replace(weight_K=zero_K)]


def tail(stride: int) -> SegmentationLoss:
    """Our mean loss, with all that a step does for it: pooling, the weights of the pixels."""

    def loss(logit_BKhw: Tensor, batch: Batch, weight_K: Tensor) -> Tensor:
        tasks = Tasks(0.0, 1.0, LOSSES[LossConfig().segmentation], weight_K, stride)
        batch = tasks.pooled(batch)
        return tasks.segmentation(logit_BKhw, batch, weight_K) / pixel_weight(batch, weight_K)

    return loss


def by_hand(batch: Batch) -> SegmentationLoss:
    """The same by torch's functions on tensors of full size, the targets int64 beforehand."""
    target_BHW = torch.where(batch.has_mask_B[:, None, None], batch.mask_BHW, IGNORED).long()
    size = batch.mask_BHW.shape[-2:]

    def loss(logit_BKhw: Tensor, batch: Batch, weight_K: Tensor) -> Tensor:
        logit_BKHW = F.interpolate(logit_BKhw, size=size, mode="bilinear", align_corners=False)
        return F.cross_entropy(logit_BKHW, target_BHW, weight_K, ignore_index=IGNORED)

    return loss


def differentiate(loss: SegmentationLoss, one: Example) -> Tensor:
    """Forward and backward; the gradient with respect to the logits."""
    return torch.autograd.grad(loss(*one), one.logit_BKhw)[0]


def gradient_error(one: Example) -> float:
    """Of ours, against the one by hand in float64, relative to its largest value."""
    exact = Example(
        one.logit_BKhw.detach().double().requires_grad_(), one.batch, one.weight_K.double()
    )
    expected = differentiate(by_hand(one.batch), exact)
    error = (differentiate(tail(1), one) - expected).abs().max() / expected.abs().max()
    return float(error)


def cosine(stride: int, one: Example) -> float:
    """Of the pooled and the exact gradient."""
    exact, pooled = (differentiate(tail(each), one).flatten().double() for each in (1, stride))
    return float(F.cosine_similarity(exact, pooled, dim=0))


def _saved(loss: SegmentationLoss, one: Example) -> int:
    """Bytes kept for the backward pass, what is given left out."""
    given = nn.ParameterList([nn.Parameter(one.logit_BKhw.detach())])
    forward: Callable[[], Tensor] = partial(loss, given[0], one.batch, one.weight_K)
    return saved_bytes(forward, given)
