"""A small residual network to train from random weights: 28 to 128 pixels, minutes on a laptop.

stem 3x3, w ─ pool ─ 2w + residual pair ─ pool ─ 4w + residual pair ─ average and maximum ─ linear, dim
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """A convolution to more channels, then two more around a shortcut (He et al., CVPR 2016, arXiv:1512.03385)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.widen, self.first, self.second = conv(inputs, outputs), conv(outputs, outputs), conv(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.widen(functional.max_pool2d(x, 2)))
        return x + functional.relu(self.second(functional.relu(self.first(x))))


class SmallCNN(nn.Module):
    """Pixels (N, 3, H, W), (x - 127) / 128, to vectors (N, dim) that are not yet of length 1."""

    def __init__(self, *, dim: int = 128, width: int = 32, halvings: int = 2) -> None:
        super().__init__()
        widths = [width * 2 ** min(n, 3) for n in range(halvings + 1)]
        self.stem = conv(3, width)
        self.blocks = nn.Sequential(*(ResidualBlock(a, b) for a, b in pairwise(widths)))
        self.out = nn.Linear(2 * widths[-1], dim)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.blocks(functional.relu(self.stem(pixels)))
        pooled = torch.cat((x.mean((2, 3)), x.amax((2, 3))), 1)
        vectors: Tensor = self.out(pooled)
        return vectors

    def groups(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Return all parameters, at full rate, and none at the backbone's rate."""
        return list(self.parameters()), []


def conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))
