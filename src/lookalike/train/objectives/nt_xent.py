"""NT-Xent: each alike pair against all others of the batch (Chen et al., SimCLR, ICML 2020, arXiv:2002.05709)."""

from pytorch_metric_learning import losses
from torch import Tensor, nn

TEMPERATURE = 0.07


class NTXent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.loss = losses.NTXentLoss(TEMPERATURE)

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        return self.loss(vectors, labels)


def make(dim: int, classes: int) -> NTXent:
    return NTXent()
