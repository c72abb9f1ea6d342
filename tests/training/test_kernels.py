import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("triton")
SHAPES = {"odd": (2, 37, 53), "one pixel": (1, 1, 1), "whole block": (3, 32, 32)}
"""Cases, rows and width of a band."""
K = 5


def example(shape):
    """Logits of a band, masks that begin above it, and weights, one of them 0."""
    random = np.random.default_rng(0)
    batch, rows, width = shape
    mask = random.choice(np.array([0, 1, 2, 4, K, K + 1, 255], np.uint8), (batch, rows + 3, width))
    weight = random.random((batch, K), dtype=np.float32)
    weight[0, 2] = 0
    return {
        "logit": 3 * random.standard_normal((batch, K, rows, width), dtype=np.float32),
        "mask": mask, "weight": weight,
    }  # fmt: skip


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """What Triton's interpreter computes of all examples."""
    folder = tmp_path_factory.mktemp("kernels")
    arrays = {
        f"{name}/{what}": array
        for name, shape in SHAPES.items()
        for what, array in example(shape).items()
    }
    np.savez(folder / "in.npz", **arrays)
    script = Path(__file__).with_name("interpreted.py")
    command = [sys.executable, str(script), str(folder / "in.npz"), str(folder / "out.npz")]
    subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, check=True, timeout=600)
    return dict(np.load(folder / "out.npz"))


@pytest.fixture(params=SHAPES)
def case(request, computed):
    """An example as tensors (of its mask the band's rows), and what was computed of it."""
    given = {
        what: torch.from_numpy(array) for what, array in example(SHAPES[request.param]).items()
    }
    given["mask"] = given["mask"][:, 3:]
    head = f"{request.param}/"
    return given, {key[len(head) :]: v for key, v in computed.items() if key.startswith(head)}


def test_loss_and_gradient_are_torchs_in_double_precision(case):
    given, found = case
    logit_BKRW = given["logit"].double().requires_grad_()
    expected = sum(
        F.cross_entropy(logit[None], torch.where(mask < K, mask, 255)[None].long(), weight.double(),
                        ignore_index=255, reduction="sum")
        for logit, mask, weight in zip(logit_BKRW, given["mask"], given["weight"], strict=True)
    )  # fmt: skip
    (gradient,) = torch.autograd.grad(expected, logit_BKRW)
    assert found["loss"] == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_allclose(found["gradient"], gradient, atol=1e-6)


def test_without_a_gradient_the_logits_stay(case):
    given, found = case
    assert found["plain"] == found["loss"]
    np.testing.assert_array_equal(found["kept"], given["logit"])


def test_the_most_likely_class_is_the_arg_max(case):
    given, found = case
    np.testing.assert_array_equal(found["class"], given["logit"].argmax(dim=1))


def test_joint_counts_are_those_of_the_pairs(case):
    given, found = case
    for mask, classes, counts in zip(given["mask"], found["class"], found["counts"], strict=True):
        counted = mask.numpy() < K
        expected = np.zeros((K, K), int)
        np.add.at(expected, (mask.numpy()[counted], classes[counted]), 1)
        np.testing.assert_array_equal(counts, expected)
