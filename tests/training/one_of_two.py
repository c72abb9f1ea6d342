"""What one of two ranks computes of a batch; run as a script by test_ranks.py.

RANK and WORLD_SIZE are in the environment, the folder to meet and to write in is the argument.
"""

import os
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from mtlbench.config import ModelConfig
from mtlbench.data.resident import Batch
from mtlbench.models.batch_norm import SharedBatchNorm2d
from mtlbench.models.network import build_model
from mtlbench.training.attempt import Attempt  # noqa: F401  (all that a rank imports)
from mtlbench.training.loop import take_step
from mtlbench.training.losses import LOSSES
from mtlbench.training.ranks import Ranks, join_ranks
from mtlbench.training.tasks import Tasks

CASES, HEIGHT, WIDTH = 5, 16, 24
WEIGHT_K = torch.tensor([0.1, 1.0, 2.0, 0.5, 3.0])
LABELLED = {
    "mixed": [True, False, True, True, True],
    "one-sided": [True, False, True, False, False],
    "none": [False] * CASES,
}
"""Which cases have label and mask; the second rank has the last two."""


class Apart(Ranks):
    """Each rank divides by its own counts: what must not be done."""

    def total(self, values):
        return values * self.count


def whole_batch(labelled):
    random = torch.Generator().manual_seed(0)
    image = torch.randn(CASES, 1, HEIGHT, WIDTH, generator=random)
    mask = torch.randint(0, 5, (CASES, HEIGHT, WIDTH), generator=random).byte()
    mask[0, :3] = 255
    yes = torch.tensor(labelled)
    return Batch(image, mask, torch.tensor([1.0, 0, 0, 1, 0]), yes, yes, np.arange(CASES))


def part_of(batch, index, count):
    own = np.array_split(np.arange(CASES), count)[index]
    picked = (
        values[torch.from_numpy(own)]
        for values in (
            batch.image_B1HW, batch.mask_BHW, batch.label_B, batch.has_label_B, batch.has_mask_B
        )
    )  # fmt: skip
    return Batch(*picked, own)


def step(batch, ranks, cls_weight=0.3, seg_weight=0.7):
    """Losses, gradients and buffers after one step; a parameter without gradient is left out."""
    model = build_model(ModelConfig(backbone="small", output_stride=8), 0).train()
    tasks = Tasks(cls_weight, seg_weight, LOSSES["cross-entropy"], WEIGHT_K)
    net = ranks.wrap(model)
    losses = tasks.losses(net, batch, tasks.counts(batch, ranks))
    losses[0].backward()
    found = {"losses": ranks.mean(torch.stack([loss.detach() for loss in losses]))}
    found |= {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return found | dict(model.named_buffers())


def step_in_parts(batch, ranks, parts):
    """Losses and gradients of a step in parts, each normalised by the same given statistics."""
    model = build_model(ModelConfig(backbone="small", output_stride=8), 0).eval()
    tasks = Tasks(0.3, 0.7, LOSSES["cross-entropy"], WEIGHT_K)
    still = torch.optim.SGD(model.parameters(), lr=0.0)
    losses_3 = take_step(ranks.wrap(model), tasks, batch, still, parts, ranks)
    return {"losses": losses_3} | {n: p.grad for n, p in model.named_parameters()}


def far_from_zero():
    return 1e2 + torch.randn(CASES, 4, 3, 2, generator=torch.Generator().manual_seed(1))


def normalise(layer, values):
    """Output, and gradients of input, weight and bias, of a batch normalisation."""
    values = values.clone().requires_grad_()
    out = layer.train()(values)
    (out**3).sum().backward()
    return [out.detach(), values.grad, layer.weight.grad, layer.bias.grad, layer.running_var]


def main():
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    ranks = join_ranks(torch.device("cpu"), folder / "meeting")
    found = {}
    for name, labelled in LABELLED.items():
        part = part_of(whole_batch(labelled), ranks.index, ranks.count)
        found[name] = step(part, ranks)
        found[f"{name}-apart"] = step(part, Apart(ranks.index, ranks.count))
        found[f"{name}-cls"] = step(part, ranks, 1.0, 0.0)
        found[f"{name}-parts"] = step_in_parts(part, ranks, 2)
    values = far_from_zero()
    own = torch.from_numpy(np.array_split(np.arange(CASES), ranks.count)[ranks.index])
    layer = SharedBatchNorm2d.of(torch.nn.BatchNorm2d(4))
    normed = normalise(layer, values[own])
    assert ranks.agree(ranks.first, not ranks.first) == [True, False]
    assert "optuna" not in sys.modules
    flat = {f"{name}/{k}": v for name, table in found.items() for k, v in table.items()}
    flat |= {f"norm/{i}": v for i, v in enumerate(normed)}
    save_file({k: v.contiguous() for k, v in flat.items()}, folder / f"{ranks.index}.safetensors")
    ranks.leave()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
