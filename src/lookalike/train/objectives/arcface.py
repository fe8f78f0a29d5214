"""ArcFace: one learned vector per label, separated by an angular margin (Deng et al., CVPR 2019, arXiv:1801.07698)."""

from pytorch_metric_learning import losses
from torch import Tensor, nn

MARGIN, SCALE = 17.0, 20.0  # degrees; a scale of 64 is for faces: it needs far more images than users have


class ArcFace(nn.Module):
    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.loss = losses.ArcFaceLoss(classes, dim, margin=MARGIN, scale=SCALE)

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        return self.loss(vectors, labels)


def make(dim: int, classes: int) -> ArcFace:
    return ArcFace(dim, classes)
