"""Triplets with a margin, semi-hard ones mined in the batch (Schroff et al., FaceNet, CVPR 2015, arXiv:1503.03832)."""

from pytorch_metric_learning import distances, losses, miners
from torch import Tensor, nn

MARGIN = 0.2


class Triplet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        distance = distances.CosineSimilarity()
        self.miner = miners.TripletMarginMiner(MARGIN, "semihard", distance=distance)
        self.loss = losses.TripletMarginLoss(MARGIN, distance=distance)

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        return self.loss(vectors, labels, self.miner(vectors, labels))


def make(dim: int, classes: int) -> Triplet:
    return Triplet()
