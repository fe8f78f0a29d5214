"""Supervised contrastive: all images of a label against the rest (Khosla et al., NeurIPS 2020, arXiv:2004.11362)."""

from pytorch_metric_learning import losses
from torch import Tensor, nn

TEMPERATURE = 0.1


class SupCon(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.loss = losses.SupConLoss(TEMPERATURE)

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        return self.loss(vectors, labels)


def make(dim: int, classes: int) -> SupCon:
    return SupCon()
