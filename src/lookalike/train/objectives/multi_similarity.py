"""Multi-similarity, with its own mining of pairs (Wang et al., CVPR 2019, arXiv:1904.06627)."""

from pytorch_metric_learning import losses, miners
from torch import Tensor, nn


class MultiSimilarity(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.miner = miners.MultiSimilarityMiner(epsilon=0.1)
        self.loss = losses.MultiSimilarityLoss(alpha=2, beta=50, base=0.5)

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        return self.loss(vectors, labels, self.miner(vectors, labels))


def make(dim: int, classes: int) -> MultiSimilarity:
    return MultiSimilarity()
