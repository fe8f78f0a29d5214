"""MS-SSIM mixed with L1, .84 to .16 (Zhao et al., Loss Functions for Image Restoration, TCI 2017, arXiv:1511.08861).

MS-SSIM: Wang, Simoncelli, Bovik 2003. It uses as many of its five scales as fit the window; their weights are scaled to
sum to 1. Zhao weighs L1 by the window too; here it is plain.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

SHARE = 0.84
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2


class MSSSIM(nn.Module):
    def forward(self, network: nn.Module, pictures: Tensor) -> Tensor:
        restored = network(pictures)
        return SHARE * (1 - ms_ssim(restored, pictures)) + (1 - SHARE) * functional.l1_loss(restored, pictures)


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Return the structural similarity of two batches (N, C, H, W) in 0..1: 1 if they are equal."""
    fitting = [w for n, w in enumerate(SCALES) if min(a.shape[2:]) >> n >= WINDOW] or [1.0]
    weights = [w / sum(fitting) for w in fitting]
    result = a.new_ones(())
    for scale, weight in enumerate(weights):
        light, structure = ssim_terms(a, b)
        term = light * structure if scale == len(weights) - 1 else structure
        result = result * term.mean().clamp(min=1e-4) ** weight
        a, b = functional.avg_pool2d(a, 2), functional.avg_pool2d(b, 2)
    return result


def ssim_terms(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM's luminance and contrast-structure maps under a Gaussian window."""
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b, cov = (blur(x) - m for x, m in ((a * a, mean_a**2), (b * b, mean_b**2), (a * b, mean_a * mean_b)))
    light = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return light, (2 * cov + C2) / (var_a + var_b + C2)


def blur(x: Tensor) -> Tensor:
    """Gaussian means, rows then columns, without padding."""
    size = min(WINDOW, *x.shape[2:])
    places = torch.arange(size, device=x.device, dtype=x.dtype) - (size - 1) / 2
    kernel = torch.exp(-(places**2) / (2 * SIGMA**2))
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 1, size)
    across = functional.conv2d(x, kernel, groups=x.shape[1])
    return functional.conv2d(across, kernel.transpose(2, 3), groups=x.shape[1])


def make() -> MSSSIM:
    return MSSSIM()
