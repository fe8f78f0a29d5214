"""The picture restored from a spoilt copy (Vincent et al., Extracting and Composing Robust Features, ICML 2008).

Spoilt: Gaussian noise, and one rectangle, .4 of each side, wiped out. The code must hold what the picture is,
not each pixel's value.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

NOISE = 0.2
WIPED = 0.4  # of each side


class Denoising(nn.Module):
    def forward(self, network: nn.Module, pictures: Tensor) -> Tensor:
        return functional.mse_loss(network(spoil(pictures)), pictures)


def spoil(pictures: Tensor) -> Tensor:
    """A copy with noise and, in each picture, a random rectangle at 0."""
    count, _, height, width = pictures.shape
    noisy = pictures + NOISE * torch.randn_like(pictures)
    top, left = torch.rand(2, count, 1, device=pictures.device) * (1 - WIPED)
    rows = torch.arange(height, device=pictures.device) / height
    columns = torch.arange(width, device=pictures.device) / width
    down = (rows >= top) & (rows < top + WIPED)  # (N, H)
    across = (columns >= left) & (columns < left + WIPED)  # (N, W)
    return noisy.masked_fill((down[:, :, None] & across[:, None, :])[:, None], 0)


def make() -> Denoising:
    return Denoising()
