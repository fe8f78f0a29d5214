"""Mean squared error between an image and its reconstruction."""

from torch import Tensor, nn
from torch.nn import functional


class MSE(nn.Module):
    def forward(self, network: nn.Module, pictures: Tensor) -> Tensor:
        return functional.mse_loss(network(pictures), pictures)


def make() -> MSE:
    return MSE()
