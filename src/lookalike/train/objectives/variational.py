"""A variational autoencoder (Kingma, Welling: Auto-Encoding Variational Bayes, 2013, arXiv:1312.6114).

The code is a mean; one linear layer, which only training needs, predicts its variance from the code. The loss is the
sum of squared errors over an image plus BETA times the distance of the codes from a normal distribution (Higgins et al.
2017), per pixel.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

BETA = 1.0


class Variational(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.log_variance = nn.Linear(dim, dim)
        nn.init.zeros_(self.log_variance.weight)
        nn.init.constant_(self.log_variance.bias, -2.0)

    def forward(self, network: nn.Module, pictures: Tensor) -> Tensor:
        mean = network.encode(pictures)
        log_variance = self.log_variance(mean).clamp(-10, 10)
        code = mean + torch.randn_like(mean) * (log_variance / 2).exp() if self.training else mean
        restored = functional.mse_loss(network.decode(code), pictures)
        divergence = 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).sum(1).mean()
        return restored + BETA * divergence / pictures[0].numel()


def make(dim: int) -> Variational:
    return Variational(dim)
