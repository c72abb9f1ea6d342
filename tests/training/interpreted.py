"""The GPU's kernels by Triton's interpreter, which computes on a CPU: arrays in, arrays out.

A process of its own, since Triton asks for its interpreter when it is imported.
"""

import sys

import numpy as np
import torch

from mtlbench.training import kernels


def main(source: str, target: str) -> None:
    """Of each example in the file `source`, what the kernels make of it."""
    given = {name: torch.from_numpy(array) for name, array in np.load(source).items()}
    out: dict[str, torch.Tensor] = {}
    for name in sorted({name.partition("/")[0] for name in given}):
        logit, mask, weight = (given[f"{name}/{what}"] for what in ("logit", "mask", "weight"))
        band = mask[:, mask.shape[1] - logit.shape[2] :]  # the last rows of larger masks
        out[f"{name}/class"] = kernels.most_likely(logit)
        out[f"{name}/plain"] = kernels.cross_entropy_(logit, band, weight, False)
        out[f"{name}/kept"] = logit.clone()
        out[f"{name}/loss"] = kernels.cross_entropy_(logit, band, weight, True)
        out[f"{name}/gradient"] = logit
        out[f"{name}/counts"] = kernels.joint_counts(band, out[f"{name}/class"], logit.shape[1])
    np.savez(target, **{name: tensor.numpy() for name, tensor in out.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
