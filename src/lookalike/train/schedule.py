"""The learning rate schedule, and the averaged weights that are validated and saved."""

import copy
import math

import torch
from torch import nn


def rate_factor(step: int, steps: int, warmup: float) -> float:
    """The fraction of the highest rate at a step: linear over the first `warmup` of all steps, then half a cosine.

    Loshchilov, Hutter: SGDR, ICLR 2017, arXiv:1608.03983.
    """
    rise = max(1, round(steps * warmup)) if warmup else 0
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise))))


class WeightAverage:
    """An exponential moving average of a network's parameters; buffers are copied. `decay` 0: the network itself.

    In early steps the decay is at most (1 + t) / (10 + t): a longer average would keep the random initial weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.source = decay, network
        self.network = copy.deepcopy(network).requires_grad_(requires_grad=False) if decay else network

    @torch.no_grad()
    def update(self, steps_done: int) -> None:
        """Update the average with the network's current weights."""
        if not self.decay:
            return
        share = 1 - min(self.decay, (1 + steps_done) / (10 + steps_done))
        pairs = [
            (a, b) for a, b in zip(self.network.parameters(), self.source.parameters(), strict=True) if b.requires_grad
        ]
        torch._foreach_lerp_([a.data for a, _ in pairs], [b.data for _, b in pairs], share)
        for averaged, current in zip(self.network.buffers(), self.source.buffers(), strict=True):
            averaged.copy_(current)
