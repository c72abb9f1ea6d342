import pytest
import torch
import torch.nn.functional as F

from mtlbench.models.backbones.stem import GreyStem


@pytest.mark.parametrize("size", [(32, 24), (37, 51), (8, 9), (1, 1)])
def test_folded_it_is_the_same_convolution(size):
    """Output and gradient, against torch's own convolution in double precision."""
    torch.manual_seed(0)
    stem, image_B1HW = GreyStem().double(), torch.randn(2, 1, *size, dtype=torch.float64)
    expected = F.conv2d(image_B1HW, stem.weight, stride=2, padding=3)
    folded = stem.folded(image_B1HW)
    torch.testing.assert_close(folded, expected)
    direction = torch.randn_like(expected)
    gradients = [torch.autograd.grad(out, stem.weight, direction)[0] for out in (folded, expected)]
    torch.testing.assert_close(*gradients)


def test_folded_it_has_channels_last_and_autocasts():
    with torch.autocast("cpu", torch.bfloat16):
        out = GreyStem().folded(torch.randn(2, 1, 32, 24))
    assert out.dtype == torch.bfloat16
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_on_a_cpu_it_is_a_plain_convolution():
    stem, image_B1HW = GreyStem(), torch.randn(1, 1, 16, 16)
    expected = F.conv2d(image_B1HW, stem.weight, stride=2, padding=3)
    assert torch.equal(stem(image_B1HW), expected)
    assert stem.state_dict().keys() == {"weight"}
