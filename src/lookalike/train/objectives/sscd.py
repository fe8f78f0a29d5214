"""SSCD: NT-Xent between edited copies, and entropy that spreads vectors (Pizzi et al., CVPR 2022, arXiv:2202.10261).

The entropy is the KoLeo estimator (Sablayrolles et al., ICLR 2019, arXiv:1806.03198): minus the logarithm of the
distance to the nearest vector of another image. It makes one threshold mean the same for all images.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lookalike.train.objectives.nt_xent import NTXent

TEMPERATURE, ENTROPY = 0.05, 5.0  # the paper's weight is 30 at batches of 4096; small batches are sparse already


class SSCD(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.loss = NTXent(TEMPERATURE)

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        unit = functional.normalize(vectors, dim=1)
        return self.loss(unit, labels) + ENTROPY * differential_entropy(unit, labels)


def differential_entropy(unit: Tensor, labels: Tensor) -> Tensor:
    """Return minus the mean logarithm of each unit vector's distance to the nearest vector of another label."""
    with torch.no_grad():
        scores = (unit @ unit.T).masked_fill(labels[:, None] == labels[None, :], -2)
        nearest = scores.argmax(1)
        alone = scores.max(1).values < -1.5
    distance = (unit - unit[nearest]).pow(2).sum(1).clamp(min=1e-6).sqrt()
    return -torch.where(alone, torch.zeros_like(distance), distance.log()).mean()


def make(dim: int, classes: int) -> SSCD:
    return SSCD()
