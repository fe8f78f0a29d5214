"""NT-Xent: each alike pair against all others of the batch (Chen et al., SimCLR, ICML 2020, arXiv:2002.05709).

One n x n matrix. The library's own makes a row of all negatives for each pair, half a gigabyte at 512 vectors:
14 s a step on one core instead of .03, and equal (tests/train/test_objectives.py).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

TEMPERATURE = 0.07
_NOT = -1e9  # a score that adds nothing, and whose gradient is a number


class NTXent(nn.Module):
    def __init__(self, temperature: float = TEMPERATURE) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        unit = functional.normalize(vectors, dim=1)
        scores = unit @ unit.T / self.temperature
        same = labels[:, None] == labels[None, :]
        others = scores.masked_fill(same, _NOT).logsumexp(1, keepdim=True)  # (n, 1): all of another label
        pairs = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        costs = (torch.logaddexp(scores, others) - scores)[pairs]
        return costs.sum() / max(len(costs), 1)


def make(dim: int, classes: int) -> NTXent:
    return NTXent()
