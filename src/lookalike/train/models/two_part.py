"""One backbone with two heads: a vector that says *alike* and one that says *copy*, side by side.

    pixels ─ folded EfficientNet-Lite ─┬─ pooled under a Hann window ─ center, axes ─ unit vector (N, alike)
                                       └─ 1x1 convolution ─ GeM pooling ─ linear ─ unit vector (N, copy)

The *alike* head is that of the default model. The *copy* head pools with the power 3, so that a small image inside a
large one is not averaged away (GeM: Radenović, Tolias & Chum, TPAMI 2019, arXiv:1711.02512), as SSCD does.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lookalike.train.models.center_pooled import pool, whitening
from lookalike.train.models.efficientnet_lite import EfficientNetLite
from lookalike.train.models.folded_lite import FoldedLite

GEM_POWER = 3.0
_EPS = 1e-6


class CopyHead(nn.Module):
    """The last block's map (N, channels, h, w) to vectors (N, dim), not of length 1."""

    def __init__(self, channels: int, width: int, dim: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, width, 1)
        self.power = nn.Parameter(torch.tensor(GEM_POWER))
        self.project = nn.Linear(width, dim)

    def pooled(self, last: Tensor) -> Tensor:
        """(N, channels, h, w) to (N, width): GeM of the expanded map."""
        x = functional.relu6(self.expand(last)).clamp(min=_EPS)
        pooled: Tensor = x.pow(self.power).mean((2, 3)).pow(1 / self.power)
        return pooled

    def forward(self, last: Tensor) -> Tensor:
        vectors: Tensor = self.project(self.pooled(last))
        return vectors


class TwoPart(nn.Module):
    """Pixels (N, 3, H, W), (x - 127) / 128, to two unit vectors side by side (N, alike + copy)."""

    centre: Tensor
    axes: Tensor

    def __init__(self, weights: dict[str, Tensor], *, width: int = 1280, dim: int = 256) -> None:
        """`weights`: of `read_weights`. `width`: channels of the copy head. `dim`: numbers of the copy vector."""
        super().__init__()
        self.backbone = FoldedLite({name: values for name, values in weights.items() if name.startswith("_")})
        self.register_buffer("centre", weights["centre"])
        self.register_buffer("axes", weights["axes"])
        self.copy = CopyHead(self.backbone.channels, width, dim)

    @property
    def dims(self) -> tuple[int, int]:
        """The number of dimensions of the two parts, alike first."""
        return int(self.axes.shape[1]), int(self.copy.project.out_features)

    def alike(self, last: Tensor) -> Tensor:
        """The last block's map to unit vectors (N, alike)."""
        return functional.normalize((pool(last) - self.centre) @ self.axes, dim=1)

    def parts(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the unit vectors (N, alike) and (N, copy)."""
        last = self.backbone.last_block(pixels)
        return self.alike(last), functional.normalize(self.copy(last), dim=1)

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.cat(self.parts(pixels), 1)

    def load_published_head(self, network: EfficientNetLite) -> None:
        """Start the copy head from the classifier's convolution, its batch norm folded in."""
        weight, bias = folded(network._conv_head.weight, network._bn1)
        self.copy.expand.load_state_dict({"weight": weight, "bias": bias})

    def whiten_copy(self, pooled: NDArray[np.float32]) -> None:
        """Start the copy head's last layer as the whitening of pooled rows (n, width)."""
        center, axes = whitening(pooled, dim=self.copy.project.out_features, power=1.0)
        weight = torch.from_numpy(axes.T.copy())
        self.copy.project.load_state_dict({"weight": weight, "bias": -weight @ torch.from_numpy(center)})


def folded(weight: Tensor, batch_norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a convolution without bias that is followed by a batch norm."""
    assert batch_norm.running_var is not None
    assert batch_norm.running_mean is not None
    scale = (batch_norm.weight / (batch_norm.running_var + batch_norm.eps).sqrt()).detach()
    return weight.detach() * scale[:, None, None, None], (batch_norm.bias - batch_norm.running_mean * scale).detach()
