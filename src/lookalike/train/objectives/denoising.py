"""Reconstruction from a corrupted copy (Vincent et al., Extracting and Composing Robust Features, ICML 2008).

The corruption is Gaussian noise and one erased rectangle, .4 of each side. The code must hold the content of the image,
not the value of each pixel.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

NOISE = 0.2
ERASED = 0.4  # of each side


class Denoising(nn.Module):
    def forward(self, network: nn.Module, pictures: Tensor) -> Tensor:
        return functional.mse_loss(network(corrupt(pictures)), pictures)


def corrupt(pictures: Tensor) -> Tensor:
    """Return a copy with noise and, in each image, a random rectangle at 0."""
    count, _, height, width = pictures.shape
    noisy = pictures + NOISE * torch.randn_like(pictures)
    top, left = torch.rand(2, count, 1, device=pictures.device) * (1 - ERASED)
    rows = torch.arange(height, device=pictures.device) / height
    columns = torch.arange(width, device=pictures.device) / width
    down = (rows >= top) & (rows < top + ERASED)  # (N, H)
    across = (columns >= left) & (columns < left + ERASED)  # (N, W)
    return noisy.masked_fill((down[:, :, None] & across[:, None, :])[:, None], 0)


def make() -> Denoising:
    return Denoising()
