"""Proxy anchor: one learned vector per label that attracts its images (Kim et al., CVPR 2020, arXiv:2003.13911)."""

from pytorch_metric_learning import losses
from torch import Tensor, nn


class ProxyAnchor(nn.Module):
    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.loss = losses.ProxyAnchorLoss(classes, dim, margin=0.1, alpha=32)

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        return self.loss(vectors, labels)


def make(dim: int, classes: int) -> ProxyAnchor:
    return ProxyAnchor(dim, classes)
