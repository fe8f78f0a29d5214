"""SSCD where a view may show several images: NT-Xent over positive pairs given as a matrix, and entropy.

A collage or a pasted image is a positive of each image in it (Pizzi et al., CVPR 2022, arXiv:2202.10261, section 3.3,
"mixed" augmentations). `ENTROPY` is as in objectives/sscd.py.
"""

import torch
from torch import Tensor
from torch.nn import functional

from lookalike.train.objectives.sscd import ENTROPY, TEMPERATURE

_MASKED = -1e9


def mixed_loss(vectors: Tensor, shown: Tensor, *, temperature: float = TEMPERATURE, entropy: float = ENTROPY) -> Tensor:
    """Return the loss of vectors (N, dim). `shown` (N, P), 0 or 1: which of the batch's P images each view shows.

    Two views are a positive pair if the images of one are all in the other; if they share only some, as two collages
    can, the pair counts neither way. Each view's positives weigh the same, and so does each view with a positive.
    """
    unit = functional.normalize(vectors, dim=1)
    shared = shown @ shown.T  # (N, N): images in common
    smaller = torch.minimum(shown.sum(1)[:, None], shown.sum(1)[None, :])
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    positive = (shared == smaller) & ~itself
    negative = shared == 0
    scores = unit @ unit.T / temperature
    others = scores.masked_fill(~negative, _MASKED).logsumexp(1, keepdim=True)
    costs = (torch.logaddexp(scores, others) - scores) * positive
    counts = positive.sum(1)
    contrast = (costs.sum(1) / counts.clamp(min=1))[counts > 0].mean()
    return contrast + entropy * mixed_entropy(unit, negative)


def mixed_entropy(unit: Tensor, negative: Tensor) -> Tensor:
    """Return minus the mean logarithm of the distance to the nearest view that shows none of the same images."""
    with torch.no_grad():
        nearest = (unit @ unit.T).masked_fill(~negative, -2).argmax(1)
    distance = (unit - unit[nearest]).pow(2).sum(1).clamp(min=1e-6).sqrt()
    return -distance.log().mean()
