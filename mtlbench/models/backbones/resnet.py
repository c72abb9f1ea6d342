"""The ResNet family (He et al. 2016): torchvision's, and a small one made for CPUs.

torchvision is imported where a network is built: it takes two seconds, and a study's driver, which
reads names only, starts without it.
"""

from torch import Tensor, nn

from mtlbench.config import ModelConfig
from mtlbench.errors import StudyError
from mtlbench.models.backbones.base import Backbone, set_output_stride
from mtlbench.models.backbones.pretrained import load_weights
from mtlbench.models.backbones.stem import GreyStem


def torchvision_resnet(config: ModelConfig, *, name: str) -> Backbone:
    """A ResNet of torchvision without its head, for one grey channel.

    Weights made for RGB are summed over the input channels of the first convolution, which
    equals feeding the grey image three times.
    """
    from torchvision.models import get_model

    net = get_model(name, weights=None)
    channels = net.fc.in_features
    grey = GreyStem()
    state = load_weights(config.weights, name)
    nn.init.kaiming_normal_(grey.weight, mode="fan_out", nonlinearity="relu")
    net.conv1 = grey
    if state is not None:
        state["conv1.weight"] = state["conv1.weight"].sum(dim=1, keepdim=True)
        _load(net, {k: v for k, v in state.items() if not k.startswith("fc.")}, config.weights)
    stages = [net.layer1, net.layer2, net.layer3, net.layer4]
    set_output_stride(stages[2:], [16, 32], config.output_stride)
    return Backbone(nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, *stages), channels)


def small_resnet(config: ModelConfig) -> Backbone:
    """A ResNet-10 of a quarter of the usual width, made for CPUs: four stages of one block each.

    The 7 x 7 stem and its pooling are a strided 3 x 3 convolution and a strided first stage, since
    lesions cover few pixels of a small image.
    """
    if config.weights != "none":
        raise StudyError(f"model.weights must be 'none' for small, but got {config.weights!r}")
    widths = (16, 32, 64, 96)
    stem = nn.Sequential(
        nn.Conv2d(1, widths[0], kernel_size=3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(inplace=True),
    )
    stages = [
        _stage(before, width, stride=2)
        for before, width in zip((widths[0], *widths), widths, strict=False)
    ]
    set_output_stride(stages[2:], [16, 32], config.output_stride)
    features = nn.Sequential(stem, *stages)
    _initialise(features)
    return Backbone(features, widths[-1])


def _stage(before: int, width: int, stride: int) -> nn.Sequential:
    from torchvision.models.resnet import BasicBlock

    shortcut = nn.Sequential(
        nn.Conv2d(before, width, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(width)
    )
    return nn.Sequential(BasicBlock(before, width, stride=stride, downsample=shortcut))


def _initialise(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


def _load(net: nn.Module, state: dict[str, Tensor], source: str) -> None:
    missing, unexpected = net.load_state_dict(state, strict=False)
    missing = [key for key in missing if not key.startswith("fc.")]
    if missing or unexpected:
        raise StudyError(
            f"model.weights = {source!r} must hold the backbone's tensors, but it lacks "
            f"{missing[:3]} and adds {unexpected[:3]}"
        )
