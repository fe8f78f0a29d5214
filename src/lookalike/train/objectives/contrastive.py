"""Contrastive (Hadsell, Chopra, LeCun, CVPR 2006): same pairs together, others apart until a margin, on cosines."""

from pytorch_metric_learning import distances, losses, miners
from torch import Tensor, nn

SAME_FROM, OTHERS_TO = 0.9, 0.3  # cosines beyond which a pair costs nothing


class Contrastive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.miner = miners.PairMarginMiner(
            pos_margin=SAME_FROM, neg_margin=OTHERS_TO, distance=distances.CosineSimilarity()
        )
        self.loss = losses.ContrastiveLoss(SAME_FROM, OTHERS_TO, distance=distances.CosineSimilarity())

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        return self.loss(vectors, labels, self.miner(vectors, labels))


def make(dim: int, classes: int) -> Contrastive:
    return Contrastive()
