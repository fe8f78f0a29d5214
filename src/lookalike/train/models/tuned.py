"""A trainable embedder: the shipped network, then a head that is the identity at first.

    pixels ─ folded EfficientNet-Lite ─ pooled under a Hann window ─ center, axes ─ unit vector x (N, base)
           ─ x + D x + U relu(V x), with D = 0 and U = 0 at first, cut to dim ─ (N, dim)

Training starts with the base model's own vectors, so the metric before training is that model's, and weight decay pulls
back to it.
"""

from torch import Tensor, nn
from torch.nn import functional

from lookalike.train.models.center_pooled import pool
from lookalike.train.models.folded_lite import FoldedLite


class Head(nn.Module):
    """Unit vectors (N, base) to (N, dim), not of length 1. `hidden` 0 omits the second path."""

    def __init__(self, base: int, dim: int, hidden: int) -> None:
        super().__init__()
        self.dim = dim
        self.change = nn.Linear(base, dim)
        self.down = nn.Linear(base, hidden) if hidden else None
        self.up = nn.Linear(hidden, dim, bias=False) if hidden else None
        for layer in (self.change, self.up):
            if layer is not None:
                nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.change.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = x[:, : self.dim] + self.change(x)
        if self.down is not None and self.up is not None:
            y = y + self.up(functional.relu(self.down(x)))
        return y


class Tuned(nn.Module):
    """Pixels (N, 3, H, W), (x - 127) / 128, to vectors (N, dim) that are not yet of length 1."""

    def __init__(self, weights: dict[str, Tensor], *, dim: int = 0, hidden: int = 512) -> None:
        """`weights`: of `read_weights`. `dim` 0: that of the base model."""
        super().__init__()
        self.backbone = FoldedLite({name: values for name, values in weights.items() if name.startswith("_")})
        self.centre = nn.Parameter(weights["centre"])
        self.axes = nn.Parameter(weights["axes"])
        base = self.axes.shape[1]
        self.head = Head(base, min(dim or base, base), hidden)

    def base(self, pixels: Tensor) -> Tensor:
        """Return the base model's vectors (N, base), of length 1."""
        pooled = pool(self.backbone.last_block(pixels))
        return functional.normalize((pooled - self.centre) @ self.axes, dim=1)

    def forward(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = self.head(self.base(pixels))
        return vectors

    def set_trainable(self, part: str) -> None:
        """Make a part trainable: "head", "last" (the last third of the blocks and everything after) or "all"."""
        blocks = len(self.backbone._blocks)
        self.backbone.freeze({"head": blocks, "last": blocks - blocks // 3, "all": 0}[part])
        for values in (self.centre, self.axes):
            values.requires_grad_(part != "head")

    def groups(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Return the trainable parameters: the head's, and the backbone's, which learn at a lower rate."""
        own = [p for p in self.head.parameters() if p.requires_grad]
        rest = [p for name, p in self.named_parameters() if not name.startswith("head.") and p.requires_grad]
        return own, rest
