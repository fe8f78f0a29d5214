"""Train the copy head, and the backbone under it, from images without labels; the alike head is kept where it was.

    python -m scripts.train_two_parts TRAIN_DIR -o runs/two-parts [--set NAME=VALUE ...]
    python -m scripts.train_two_parts TRAIN_DIR -o runs/two-parts --export FOLDER --share 0.8

TRAIN_DIR: a folder of images with kinds.tsv. One image in ten is set aside for benchmarks/hard_copies.py and never read
here; another one in ten validates. A run that was stopped continues from its last checkpoint with the same command; on
a GPU it uses bfloat16. The objective: SSCD over light, strong and mixed views (objectives/sscd_mixed.py), and how far
the alike vectors are from those of the base model. `--export` writes the best weights so far as a model folder;
`--share` is their fraction on the way from the base model's backbone (WiSE-FT, arXiv:2109.01903).
"""

import argparse
import copy
import csv
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.hard_copies import KINDS, edited, held_out, load
from numpy.typing import NDArray
from torch import Tensor, nn

from lookalike.embed.card import MODEL_FILE
from lookalike.embed.registry import BASE_MODEL, model_folder
from lookalike.evaluate.retrieval import retrieval
from lookalike.image import fit
from lookalike.parts import ALIKE, COPY
from lookalike.train.checkpoint import BEST, LAST, read_tensors
from lookalike.train.config import TrainingConfig, from_pairs
from lookalike.train.data.copy_views import copy_views, plan_epoch
from lookalike.train.data.loader import Loader
from lookalike.train.export import export
from lookalike.train.loop import TrainingProgress, TrainingRun, in_batches
from lookalike.train.models.efficientnet_lite import load_pretrained
from lookalike.train.models.folded_lite import FoldedLite, read_weights
from lookalike.train.models.two_part import TwoPart
from lookalike.train.objectives.sscd_mixed import mixed_loss
from lookalike.train.run_folder import RunFolder
from lookalike.train.similarity_training import to_input
from lookalike.types import RGB, Card, Part, Preprocessing, Vectors

Rows = NDArray[np.int64]
TRAINED_KINDS = 32  # of hard_copies.KINDS; the others are never trained or validated with
VALIDATION_GALLERY, VALIDATION_QUERIES = 500, 384
WHITENING_SAMPLE = 1500
SIDE = 224


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoPartConfig(TrainingConfig):
    """The settings. `side`, `last_side`: pixels of the views in the first epochs, and in the last `last_epochs`.

    `dim`: numbers of the copy vector. `alike_weight`: of one minus the cosine between the alike vectors and the base
    model's, over the first `kept_views` views of a batch. `backbone_rate`: the backbone's fraction of `rate`.
    """

    epochs: int = 12
    batch: int = 64
    rate: float = 1e-3
    warmup: float = 0.05
    patience: int = 0
    ema: float = 0.995
    workers: int = 1
    side: int = 128
    last_side: int = 176
    last_epochs: int = 3
    dim: int = 256
    width: int = 1280
    alike_weight: float = 20.0
    kept_views: int = 64
    backbone_rate: float = 0.4


class Images:
    """The images of a folder by row, decoded when they are asked for: a tenth to train is too large for memory."""

    def __init__(self, folder: Path, paths: Sequence[str]) -> None:
        self.paths = list(paths)
        self._data = [(folder / path).read_bytes() for path in paths]

    def __call__(self, row: int) -> RGB:
        from lookalike.image import decode

        return decode(self._data[row]).image


class TwoPartTask:
    """SSCD for the copy part, and the base model's alike part kept."""

    metric = "micro-AP"

    def __init__(self, network: TwoPart, config: TwoPartConfig, paths: Sequence[str], validation: "Validation") -> None:
        self.network: nn.Module = network
        self.objective: nn.Module = nn.Identity()
        self.base = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self.config, self.paths, self.validation = config, paths, validation

    def groups(self) -> list[dict[str, Any]]:
        assert isinstance(self.network, TwoPart)
        return [
            {"params": list(self.network.copy.parameters()), "share": 1.0},
            {"params": list(self.network.backbone.parameters()), "share": self.config.backbone_rate},
        ]

    def plan(self, epoch: int) -> list[Rows]:
        return plan_epoch(np.arange(len(self.paths)), self.config.batch, [self.config.seed, epoch])

    def loss(self, rows: Rows, views: Tensor) -> Tensor:
        assert isinstance(self.network, TwoPart)
        pixels = to_input(views)
        alike, vectors = self.network.parts(pixels)
        with torch.no_grad():
            base = self.base.to(pixels.device).alike(self.base.backbone.last_block(pixels[: self.config.kept_views]))
        drift = 1 - (alike[: len(base)].float() * base.float()).sum(1).mean()
        shown = torch.from_numpy(shown_matrix(rows)).to(vectors.device)
        with torch.autocast(vectors.device.type, enabled=False):
            return mixed_loss(vectors.float(), shown) + self.config.alike_weight * drift

    def validate(self, network: nn.Module) -> dict[str, float]:
        return self.validation.metrics(network, self.base)

    def names(self, rows: Rows) -> Sequence[str]:
        return [self.paths[row[0]] for row in rows]


def shown_matrix(rows: Rows) -> NDArray[np.float32]:
    """Plan rows (N, MAX_SHOWN) to (N, P), 0 or 1: which of the batch's P images each view shows."""
    images = np.unique(rows[rows >= 0])
    return np.stack([np.isin(images, row[row >= 0]) for row in rows]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Validation:
    """Pixels (n, SIDE, SIDE, 3) of a gallery, and of edited queries with their gallery row."""

    gallery: NDArray[np.uint8]
    queries: NDArray[np.uint8]
    rows: Rows

    def metrics(self, network: nn.Module, base: nn.Module) -> dict[str, float]:
        """Return micro-AP and recall@1 of the copy part, and the mean cosine of the alike part to the base model's."""
        assert isinstance(network, TwoPart)
        alike, _ = network.dims
        gallery, queries = embed(network, self.gallery), embed(network, self.queries)
        before = embed(base, self.gallery[:128])[:, :alike]
        drift = (unit(gallery[:128, :alike]) * unit(before)).sum(1).mean()
        return copy_metrics(gallery[:, alike:], queries[:, alike:], self.rows) | {"alike cosine": float(drift)}


def copy_metrics(gallery: Vectors, queries: Vectors, rows: Rows) -> dict[str, float]:
    """Return micro-AP and recall@1 of copy vectors, not of length 1. `rows`: of the gallery, one for each query."""
    names = [str(n) for n in range(len(gallery))]
    result = retrieval(unit(queries), unit(gallery), [names[row] for row in rows], names)
    return {name: float(result[name]) for name in ("micro-AP", "recall@1")}


def unit(vectors: Vectors) -> Vectors:
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@torch.no_grad()
def embed(network: nn.Module, pixels: NDArray[np.uint8]) -> Vectors:
    device = next(network.parameters()).device
    parts = [network(to_input(torch.from_numpy(pixels[part]).to(device))) for part in in_batches(len(pixels), 32)]
    return np.asarray(torch.cat(parts).float().cpu().numpy())


def make_validation(folder: Path, paths: Sequence[str], ground: Sequence[str]) -> Validation:
    shape = Preprocessing(size=(SIDE, SIDE))
    gallery = [fit(load(folder / path), shape) for path in paths[:VALIDATION_GALLERY]]
    kinds = list(KINDS)[:TRAINED_KINDS]
    rows = np.arange(VALIDATION_QUERIES)
    queries = [fit(edited(folder, paths[n], kinds[n % len(kinds)], ground, [7, int(n)]), shape) for n in rows]
    return Validation(np.stack(gallery), np.stack(queries), rows)


def split(folder: Path) -> tuple[list[str], list[str]]:
    """Return the paths to train on and those to validate with; images for judging are in neither."""
    with (folder / "kinds.tsv").open(newline="", encoding="utf-8") as lines:
        paths = sorted(row["path"] for row in csv.DictReader(lines, delimiter="\t"))
    paths = [path for path in paths if not held_out(path)]
    validates = [zlib.crc32(path.encode()) % 10 == 1 for path in paths]
    validation = [path for path, chosen in zip(paths, validates, strict=True) if chosen]
    np.random.default_rng(0).shuffle(validation)
    return [path for path, chosen in zip(paths, validates, strict=True) if not chosen], validation


def initial_network(images: Images, config: TwoPartConfig) -> TwoPart:
    """The default model, and a copy head that is the published head, pooled and whitened."""
    weights = read_weights(model_folder(BASE_MODEL) / MODEL_FILE)
    network = TwoPart(weights, width=config.width, dim=config.dim).eval()
    if config.width == network.copy.expand.out_channels == 1280:
        network.load_published_head(load_pretrained(1))
    sample = np.random.default_rng(0).permutation(len(images.paths))[:WHITENING_SAMPLE]
    shape, pooled = Preprocessing(size=(SIDE, SIDE)), []
    for part in in_batches(len(sample), 32):
        pixels = np.stack([fit(images(int(row)), shape) for row in sample[part]])
        with torch.no_grad():
            pooled.append(network.copy.pooled(network.backbone.last_block(to_input(torch.from_numpy(pixels)))).numpy())
    network.whiten_copy(np.concatenate(pooled))
    return network


def card(name: str, config: TwoPartConfig, alike: int) -> Card:
    base = Preprocessing(size=(SIDE, SIDE), mean=(127.0,) * 3, std=(128.0,) * 3)
    return Card(
        name=name,
        dim=0,
        preprocessing=base,
        sha256="",
        parts=(Part(ALIKE, alike), Part(COPY, config.dim)),
        license="Apache-2.0",
        source=f"{BASE_MODEL}, trained further by scripts/train_two_parts.py and scripts/train_copy_head.py",
        description=f"Two parts of one network: alike ({alike}) and copy ({config.dim}). Measured in docs/models.md.",
    )


def export_best(run: RunFolder, network: TwoPart, config: TwoPartConfig, folder: Path, share: float) -> None:
    """Export the best weights so far; the backbone `share` of the way from the base model's."""
    start = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    network.load_state_dict(read_tensors(run.checkpoints / BEST)[0])
    backbone: FoldedLite = network.backbone
    trained = backbone.state_dict()
    backbone.load_state_dict({name: torch.lerp(start[name], trained[name], share) for name in trained})
    random = np.random.default_rng(0)
    sizes = [SIDE // 2 ** (n % 6) for n in range(24)]
    blocks = [random.integers(0, 256, (size, size, 3), dtype=np.uint8) for size in sizes]
    samples = np.stack([np.kron(b, np.ones((SIDE // len(b), SIDE // len(b), 1), np.uint8)) for b in blocks])
    print(export(network.eval(), folder, card(folder.name, config, network.dims[0]), samples=samples))


def report(progress: TrainingProgress) -> None:
    if progress.step % 10 == 0 or progress.step == progress.steps:
        metrics = ", ".join(f"{name} {value:.4g}" for name, value in progress.metrics.items())
        print(
            f"epoch {progress.epoch} step {progress.step}/{progress.steps} loss {progress.loss:.4f} | {metrics}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="TRAIN_DIR")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--start", type=Path, metavar="FILE", help="weights of another run to start from")
    parser.add_argument("--export", type=Path, metavar="FOLDER")
    parser.add_argument("--share", type=float, default=1.0)
    options = parser.parse_args()
    overrides = from_pairs(options.set, TwoPartConfig())
    config, run = TwoPartConfig.of(overrides), RunFolder(options.output)
    options.output.mkdir(parents=True, exist_ok=True)
    train, validation = split(options.folder)
    images = Images(options.folder, train)
    network = initial_network(images, config)
    if options.export:
        export_best(run, network, config, options.export, options.share)
        return
    task = TwoPartTask(network, config, train, make_validation(options.folder, validation, train))
    if options.start:  # not the base model, which the alike part is held to
        network.load_state_dict(read_tensors(options.start)[0])
    side_of = lambda epoch: config.last_side if epoch >= config.epochs - config.last_epochs else config.side  # noqa: E731
    print(f"{len(train):,} images to train on, {len(validation):,} to validate with", flush=True)
    if not (run.checkpoints / LAST).exists():
        print("before", task.validate(network), flush=True)
    TrainingRun(task, Loader(copy_views(images, side_of), config.workers), config, run).train(report)


if __name__ == "__main__":
    main()
