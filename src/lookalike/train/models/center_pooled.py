"""The default embedder's head: EfficientNet-Lite's last block, pooled with more weight on the center, half-whitened.

    last block (N, 320, h, w) ─ weighted mean over positions ─ minus the mean vector ─ principal axes,
    each divided by the root of its standard deviation ─ (N, dim)

The 1280-channel head and the classifier after it are left out: before them the map is linear, keeps more of what
distinguishes two images of one class, and costs less. The border of the map sees zero padding and mostly background, so
the mean uses a Hann window. Whitening without labels: Jégou & Chum 2012, "Negative evidences and
co-occurrences in image retrieval"; half of it keeps natural photos in order. Each part is measured in docs/models.md.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lookalike.train.models.efficientnet_lite import EfficientNetLite

Rows = NDArray[np.float32]


class CenterPooled(nn.Module):
    """Pixels (N, 3, H, W), (x - 127) / 128, to vectors (N, dim) that are not yet of length 1."""

    centre: Tensor
    axes: Tensor

    def __init__(self, network: EfficientNetLite, center: Rows, axes: Rows) -> None:
        """`center` (channels,) and `axes` (channels, dim) come from `whitening`."""
        super().__init__()
        self.network = network
        self.register_buffer("centre", torch.from_numpy(center.astype(np.float32)))
        self.register_buffer("axes", torch.from_numpy(axes.astype(np.float32)))

    def forward(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = (pool(self.network.last_block(pixels)) - self.centre) @ self.axes
        return vectors


def pool(features: Tensor) -> Tensor:
    """(N, channels, h, w) to (N, channels): the mean over positions under a Hann window."""
    weights = window(int(features.shape[2]), int(features.shape[3])).to(features)
    return features.flatten(2) @ weights


def window(height: int, width: int) -> Tensor:
    """Weights of the map's positions, (height * width,), that sum to 1 and fall towards, but never to, zero."""
    rows, columns = (torch.hann_window(n + 2, periodic=False)[1:-1] for n in (height, width))
    weights = (rows[:, None] * columns[None, :]).flatten()
    return weights / weights.sum()


def whitening(rows: Rows, *, dim: int, power: float = 0.5, shrink: float = 0.1) -> tuple[Rows, Rows]:
    """Return the center (channels,) and the axes (channels, dim) of the pooled rows of many unlabeled images.

    Principal axes, each divided by its standard deviation to `power` (0 only rotates, 1 whitens fully). `shrink`: this
    fraction of the mean variance is added to each, so that an axis with almost none is not amplified.
    """
    center = rows.mean(0, dtype=np.float64)
    variances, axes = np.linalg.eigh(np.cov((rows - center).T))
    variances, axes = variances[::-1][:dim], axes[:, ::-1][:, :dim]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(dim)])  # eigenvectors come with either sign
    scaled = axes * (variances + shrink * variances.mean()) ** (-power / 2)
    return center.astype(np.float32), scaled.astype(np.float32)
