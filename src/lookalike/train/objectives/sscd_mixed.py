"""SSCD where a view may show several images: NT-Xent over positive pairs given as a matrix, and entropy.

A collage or a pasted image is a positive of each image in it (Pizzi et al., CVPR 2022, arXiv:2202.10261, section 3.3,
"mixed" augmentations). `ENTROPY` is as in objectives/sscd.py.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lookalike.train.objectives.sscd import ENTROPY, TEMPERATURE

_MASKED = -1e9

Rows = NDArray[np.int64]


def mixed_loss(
    vectors: Tensor,
    shown: Tensor,
    *,
    memory: Tensor | None = None,
    unlike: Tensor | None = None,
    temperature: float = TEMPERATURE,
    entropy: float = ENTROPY,
) -> Tensor:
    """Return the loss of vectors (N, dim). `shown` (N, P), 0 or 1: which of the batch's P images each view shows.

    Two views are a positive pair if the images of one are all in the other; if they share only some, as two collages
    can, the pair counts neither way. Each view's positives weigh the same, and so does each view with a positive.
    `memory`: unit vectors (M, dim) of earlier batches, more negatives for the views where `unlike` (N, M) is true
    (cross-batch memory: Wang et al., CVPR 2020, arXiv:1912.06798).
    """
    unit = functional.normalize(vectors, dim=1)
    shared = shown @ shown.T  # (N, N): images in common
    smaller = torch.minimum(shown.sum(1)[:, None], shown.sum(1)[None, :])
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    positive = (shared == smaller) & ~itself
    negative = shared == 0
    cosines = unit @ unit.T
    rivals, candidates = cosines.masked_fill(~negative, _MASKED), unit
    if memory is not None and unlike is not None:
        rivals = torch.cat((rivals, (unit @ memory.T).masked_fill(~unlike, _MASKED)), 1)
        candidates = torch.cat((unit, memory))
    others = (rivals / temperature).logsumexp(1, keepdim=True)
    scores = cosines / temperature
    costs = (torch.logaddexp(scores, others) - scores) * positive
    counts = positive.sum(1)
    contrast = (costs.sum(1) / counts.clamp(min=1))[counts > 0].mean()
    return contrast + entropy * nearest_entropy(unit, candidates, rivals)


def nearest_entropy(unit: Tensor, candidates: Tensor, rivals: Tensor) -> Tensor:
    """Return minus the mean log distance of `unit` (N, dim) to the nearest candidate (C, dim) by `rivals` (N, C)."""
    distance = (unit - candidates[rivals.detach().argmax(1)]).pow(2).sum(1).clamp(min=1e-6).sqrt()
    return -distance.log().mean()


class ViewMemory:
    """The vectors of the last `size` views of one image, and which image; not part of a checkpoint."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._vectors: list[Tensor] = []
        self._images: list[Rows] = []

    def add(self, rows: Rows, vectors: Tensor) -> None:
        """Plan rows (n, MAX_SHOWN) of single views, and their vectors (n, dim)."""
        self._vectors.append(vectors.detach().float())
        self._images.append(rows[:, 0])
        while sum(map(len, self._images)) > self.size:
            self._vectors.pop(0)
            self._images.pop(0)

    def negatives(self, rows: Rows, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors (M, dim), and (N, M): which of them show no image of each of the plan rows (N, MAX_SHOWN)."""
        if not self._images:
            return like.new_zeros((0, like.shape[1])).float(), like.new_zeros((len(rows), 0)).bool()
        images = np.concatenate(self._images)
        unlike = (rows[:, :, None] != images[None, None, :]).all(1)
        return torch.cat(self._vectors), torch.from_numpy(unlike).to(like.device)
