"""EfficientNet-Lite with its batch norms folded into the convolutions, read from an exported model, to train on.

Folding does not change the function and saves two passes over every map in each step; fine-tuning usually freezes the
statistics anyway, because those of small batches degrade the network. Shapes and names are those of
efficientnet_lite.py.
"""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lookalike.errors import BrokenModel
from lookalike.train.models.efficientnet_lite import SameConv2d


class FoldedBottleneck(nn.Module):
    """1x1 expansion, depthwise convolution, linear 1x1 projection; added to its input where the shapes allow."""

    def __init__(self, weights: dict[str, Tensor], name: str, *, stride: int) -> None:
        super().__init__()
        self.expands = f"{name}._expand_conv.weight" in weights
        if self.expands:
            self._expand_conv = convolution(weights, f"{name}._expand_conv")
        self._depthwise_conv = convolution(weights, f"{name}._depthwise_conv", stride=stride, depthwise=True)
        self._project_conv = convolution(weights, f"{name}._project_conv")
        inputs = (self._expand_conv if self.expands else self._depthwise_conv).in_channels
        self.adds = stride == 1 and inputs == self._project_conv.out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self._expand_conv(x), inplace=True) if self.expands else x
        y = functional.relu6(self._depthwise_conv(y), inplace=True)
        y = self._project_conv(y)
        return x + y if self.adds else y


class FoldedLite(nn.Module):
    """The stem and the blocks: (N, 3, H, W) to the last block's map (N, channels, H/32, W/32)."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self._conv_stem = convolution(weights, "_conv_stem", stride=2)
        count = 1 + max(int(match[1]) for name in weights if (match := re.match(r"_blocks\.(\d+)\.", name)))
        self._blocks = nn.ModuleList(
            FoldedBottleneck(weights, f"_blocks.{n}", stride=stride) for n, stride in enumerate(strides(weights, count))
        )
        self.frozen = 0

    @property
    def channels(self) -> int:
        return int(self._blocks[-1]._project_conv.out_channels)

    def last_block(self, pixels: Tensor) -> Tensor:
        """The first `frozen` blocks run without a gradient, which saves two thirds of their time."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.frozen == 0):
            x = functional.relu6(self._conv_stem(pixels), inplace=True)
            for block in self._blocks[: self.frozen]:
                x = block(x)
        for block in self._blocks[self.frozen :]:
            x = block(x)
        return x

    def freeze(self, blocks: int) -> None:
        """Freeze the stem and the first `blocks` blocks; 0 freezes nothing."""
        self.frozen = blocks
        for part in (self._conv_stem, *self._blocks[:blocks]) if blocks else ():
            part.requires_grad_(requires_grad=False)


class FoldedConv2d(SameConv2d):
    """TensorFlow's SAME padding, with the bias that folding leaves."""

    def forward(self, x: Tensor) -> Tensor:
        return same_convolution(x, self)


def same_convolution(x: Tensor, conv: SameConv2d) -> Tensor:
    (k, _), (s, _) = conv.kernel_size, conv.stride
    down, across = (max((-(-n // s) - 1) * s + k - n, 0) for n in (int(x.shape[-2]), int(x.shape[-1])))
    if down % 2 == across % 2 == 0:
        return functional.conv2d(x, conv.weight, conv.bias, s, (down // 2, across // 2), 1, conv.groups)
    x = functional.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
    return functional.conv2d(x, conv.weight, conv.bias, s, 0, 1, conv.groups)


def convolution(weights: dict[str, Tensor], name: str, *, stride: int = 1, depthwise: bool = False) -> FoldedConv2d:
    """Return the convolution of that name with its weights."""
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    outputs, inputs, kernel, _ = weight.shape
    groups = outputs if depthwise else 1
    conv = FoldedConv2d(inputs * groups, outputs, kernel, stride, groups=groups)
    conv.load_state_dict({"weight": weight, "bias": bias})
    return conv


def strides(weights: dict[str, Tensor], count: int) -> list[int]:
    """Return the stride of each block: five halvings in all, at the start of a stage with another width or kernel.

    In EfficientNet these are the stages of 24, 40, 80 and 192 channels; stages of 16, 112 and 320 keep the size.
    """
    widths = [int(weights[f"_blocks.{n}._project_conv.weight"].shape[0]) for n in range(count)]
    firsts = [n for n in range(count) if n == 0 or widths[n] != widths[n - 1]]
    halving = {firsts[stage] for stage in (1, 2, 3, 5)}
    return [2 if n in halving else 1 for n in range(count)]


def read_weights(model: Path) -> dict[str, Tensor]:
    """Return the tensors of an exported ONNX file, without the prefix of their module. Raises BrokenModel."""
    import onnx
    from onnx import numpy_helper

    graph: Any = onnx.load(model).graph
    tensors = {t.name.removesuffix(".half"): numpy_helper.to_array(t) for t in graph.initializer}
    stem = next((name for name in tensors if name.endswith("_conv_stem.weight")), None)
    if stem is None or not any(name.endswith(".axes") for name in tensors):
        raise BrokenModel(
            f"{model.parent} is not an EfficientNet-Lite exported by Lookalike, and only those can be trained further; "
            "start from efficientnet-lite1.in1k, or from small-cnn (random weights)"
        )
    inner = stem.removesuffix("_conv_stem.weight")
    named = {name.removeprefix(inner).removeprefix("module."): values for name, values in tensors.items()}
    spelled = {name.replace(".weight_bias", ".bias"): values for name, values in named.items()}
    return {name: torch.from_numpy(values.copy()).float() for name, values in spelled.items() if values.ndim}
