import torch

from mtlbench.config import ModelConfig
from mtlbench.models.network import build_model

SMALL = ModelConfig(backbone="small", output_stride=8)


def test_heads_are_figure_1():
    model = build_model(SMALL, seed=0).eval()
    image_B1HW = torch.randn(2, 1, 32, 48)
    with torch.inference_mode():
        features_BChw = model.features(image_B1HW)
        cls_B, seg_BKhw = model(image_B1HW, classify=True, segment=True)
    pooled_BC = features_BChw.mean(dim=(2, 3))
    expected_B = pooled_BC @ model.c_net.weight[0] + model.c_net.bias
    torch.testing.assert_close(cls_B, expected_B)
    weight_KC = model.s_net.weight[:, :, 0, 0]
    expected_BKhw = torch.einsum("kc,bchw->bkhw", weight_KC, features_BChw)
    torch.testing.assert_close(seg_BKhw, expected_BKhw + model.s_net.bias[:, None, None])


def test_a_head_that_is_not_asked_for_is_not_computed():
    model = build_model(SMALL, seed=0)
    image_B1HW = torch.randn(2, 1, 32, 48)
    cls_B, nothing = model(image_B1HW, classify=True, segment=False)
    assert nothing is None
    cls_B.sum().backward()
    assert model.s_net.weight.grad is None
    assert model.features[0][0].weight.grad is not None


def test_same_seed_same_weights_and_the_global_generator_is_untouched():
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    one, two = build_model(SMALL, seed=3), build_model(SMALL, seed=3)
    other = build_model(SMALL, seed=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(map(torch.equal, one.state_dict().values(), two.state_dict().values()))
    assert not torch.equal(one.c_net.weight, other.c_net.weight)


def test_max_pooling():
    model = build_model(SMALL.model_copy(update={"pooling": "max"}), seed=0).eval()
    image_B1HW = torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        pooled_C = model.features(image_B1HW)[0].flatten(1).max(dim=1).values
        cls_B, _ = model(image_B1HW, classify=True, segment=False)
        torch.testing.assert_close(cls_B, model.c_net(pooled_C))


def test_heads_are_computed_in_full_precision():
    """In bfloat16 256 of these cases would share some 100 scores."""
    model = build_model(SMALL, seed=0).eval()
    image_B1HW = torch.randn(256, 1, 16, 16)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert model.features(image_B1HW[:2]).dtype == torch.bfloat16
        cls_B, seg_BKhw = model(image_B1HW, classify=True, segment=True)
    assert cls_B.dtype == seg_BKhw.dtype == torch.float32
    assert len(cls_B.unique()) > 250
