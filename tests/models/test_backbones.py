import hashlib

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from mtlbench.config import ModelConfig
from mtlbench.errors import StudyError
from mtlbench.models.backbones import BACKBONES
from mtlbench.models.backbones.pretrained import weights_file, weights_identity, weights_name
from mtlbench.models.network import build_model

NAMES = sorted(BACKBONES)


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("name", NAMES)
def test_every_backbone_keeps_its_output_stride(name, stride):
    features, channels = BACKBONES[name](ModelConfig(backbone=name, output_stride=stride))
    with torch.inference_mode():
        out_BChw = features.eval()(torch.zeros(1, 1, 64, 96))
    assert out_BChw.shape == (1, channels, 64 // stride, 96 // stride)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_grey_weights_equal_a_grey_image_fed_three_times(name, tmp_path):
    torch.manual_seed(0)
    rgb = torchvision.models.get_model(name, weights=None).eval()
    save_file(rgb.state_dict(), tmp_path / "weights.safetensors")
    config = ModelConfig(backbone=name, weights=str(tmp_path / "weights.safetensors"))
    grey = BACKBONES[name](config).features.eval()
    image_B1HW = torch.randn(2, 1, 64, 64)
    trunk = torch.nn.Sequential(*list(rgb.children())[:-2])
    with torch.inference_mode():
        expected = trunk(image_B1HW.expand(-1, 3, -1, -1))
        torch.testing.assert_close(grey(image_B1HW), expected, rtol=1e-4, atol=1e-4)


def test_dilation_agrees_with_torchvision():
    """In double precision: rounding of 50 layers differs from processor to processor."""
    torch.manual_seed(0)
    theirs = torchvision.models.resnet50(
        weights=None, replace_stride_with_dilation=[False, True, True]
    )
    ours = BACKBONES["resnet50"](ModelConfig(backbone="resnet50", output_stride=8)).features
    theirs, ours = theirs.double().eval(), ours.double().eval()
    trunk = torch.nn.Sequential(*list(theirs.children())[:-2])
    state = trunk.state_dict()
    state["0.weight"] = state["0.weight"].sum(dim=1, keepdim=True)
    ours.load_state_dict(state)
    image_B1HW = torch.randn(1, 1, 64, 64, dtype=torch.float64)
    with torch.inference_mode():
        expected = trunk(image_B1HW.expand(-1, 3, -1, -1))
        torch.testing.assert_close(ours(image_B1HW), expected)


def test_weights_of_another_network_are_refused(tmp_path):
    save_file(
        {"wrong": torch.zeros(1), "conv1.weight": torch.zeros(64, 3, 7, 7)},
        tmp_path / "w.safetensors",
    )
    with pytest.raises(StudyError, match="must hold the backbone's tensors"):
        build_model(ModelConfig(backbone="resnet18", weights=str(tmp_path / "w.safetensors")), 0)


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_a_file_is_known_by_its_content_wherever_it_lies(tmp_path, kind, monkeypatch):
    path, other = tmp_path / f"a.{kind}", tmp_path / "below" / f"b.{kind}"
    other.parent.mkdir()
    for place in (path, other):
        place.write_bytes(b"content")
    expected = f"sha256:{hashlib.sha256(b'content').hexdigest()}"
    monkeypatch.chdir(tmp_path)
    assert {weights_identity(name) for name in (str(path), str(other), path.name)} == {expected}
    path.write_bytes(b"another")
    assert weights_identity(str(path)) == f"sha256:{hashlib.sha256(b'another').hexdigest()}"
    assert weights_file(path.name) == path
    assert weights_name(str(path), "resnet18") == path.name


def test_words_stand_for_themselves_and_the_record_says_what_imagenet_is():
    assert [weights_identity(word) for word in ("none", "imagenet")] == ["none", "imagenet"]
    assert weights_file("imagenet") is None
    assert weights_name("none", "resnet50") == "none"
    expected = str(torchvision.models.ResNet50_Weights.DEFAULT)
    assert weights_name("imagenet", "resnet50") == expected


def test_absent_weights_are_refused():
    with pytest.raises(StudyError, match="but got 'nowhere'"):
        build_model(ModelConfig(backbone="resnet18", weights="nowhere"), 0)
