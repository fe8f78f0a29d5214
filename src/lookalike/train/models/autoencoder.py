"""A convolutional autoencoder for square images of 28 to 256 pixels, gray or color, with a code of any size.

    (N, C, S, S) ─ stages of 4x4 convolutions, stride 2, until at most 8 pixels ─ linear ─ code (N, code)
    code ─ linear ─ as many transposed convolutions ─ (N, C, S, S) in 0..1

Sides that do not halve evenly are rounded up and cut at the end.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

MIN_SIDE = 8  # pixels: below, the code's linear layer sees whole objects; above, it grows too large


class Autoencoder(nn.Module):
    """Maps images (N, C, S, S) in 0..1 to their reconstructions; `encode` and `decode` are its halves."""

    def __init__(self, side: int, *, channels: int = 3, code: int = 64, width: int = 32) -> None:
        super().__init__()
        self.side, self.channels, self.code = side, channels, code
        sides = [side]
        while sides[-1] > MIN_SIDE:
            sides.append(-(-sides[-1] // 2))
        self.small = sides[-1]
        widths = [channels, *(min(width * 2**n, 256) for n in range(len(sides) - 1))]
        self.down = nn.Sequential(*(stage(a, b) for a, b in pairwise(widths)))
        self.to_code = nn.Linear(widths[-1] * self.small**2, code)
        self.from_code = nn.Linear(code, widths[-1] * self.small**2)
        ups = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.Sequential(*(unstage(a, b, last=n == len(ups) - 1) for n, (a, b) in enumerate(ups)))
        self.deepest = widths[-1]

    def encode(self, pictures: Tensor) -> Tensor:
        """(N, C, S, S) to codes (N, code)."""
        codes: Tensor = self.to_code(self.down(pictures).flatten(1))
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (N, code) to images (N, C, S, S) in 0..1."""
        x = self.up(self.from_code(codes).reshape(-1, self.deepest, self.small, self.small))
        return x[:, :, : self.side, : self.side].sigmoid()

    def forward(self, pictures: Tensor) -> Tensor:
        return self.decode(self.encode(pictures))


class CodeEmbedder(nn.Module):
    """The encoder as an embedder: pixels (N, 3, S, S) of 0..255 to codes, centered and rotated to principal axes."""

    centre: Tensor
    axes: Tensor

    def __init__(self, network: Autoencoder, center: Tensor, axes: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("centre", center)
        self.register_buffer("axes", axes)

    def forward(self, pixels: Tensor) -> Tensor:
        codes = self.network.encode(scale_pixels(pixels, self.network.channels))
        vectors: Tensor = (codes - self.centre) @ self.axes
        return vectors


def scale_pixels(pixels: Tensor, channels: int) -> Tensor:
    """(N, 3, H, W) of 0..255 to (N, channels, H, W) of 0..1; one channel is the luma of the three."""
    if channels == 1:
        weights = torch.tensor([0.299, 0.587, 0.114], device=pixels.device).reshape(1, 3, 1, 1)
        return (pixels * weights).sum(1, keepdim=True) / 255
    return pixels / 255


def stage(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(Halving(inputs, outputs, 4, stride=2, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1))


class Halving(nn.Conv2d):
    """A 4x4 convolution of stride 2 that gives half the side, rounded up."""

    def forward(self, x: Tensor) -> Tensor:
        down, across = (1 + n % 2 for n in (int(x.shape[2]), int(x.shape[3])))
        return super().forward(nn.functional.pad(x, (1, across, 1, down)))


def unstage(inputs: int, outputs: int, *, last: bool) -> nn.Sequential:
    double = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=last)
    return nn.Sequential(double) if last else nn.Sequential(double, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1))
