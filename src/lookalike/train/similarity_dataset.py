"""The data of similarity training: the images of a split in one cache, with labels from the split, pairs or edits."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import SourceError
from lookalike.image import fit
from lookalike.indexing.pipeline import parallel
from lookalike.train.config import SimilarityConfig
from lookalike.train.data.cache import ImageCache, cache_images
from lookalike.train.data.pairs import read_pairs
from lookalike.train.run_folder import RunFolder
from lookalike.train.split import Split
from lookalike.train.validation import Validator, validator_by_edits, validator_by_labels
from lookalike.types import Embedder, Preprocessing, Vectors

DEFAULT_OBJECTIVES = {"labels": "supcon", "pairs": "nt_xent", "edits": "sscd"}
SMALL_CNN = "small-cnn"
EMBED_BATCH = 64  # images that a thread prepares and embeds together
CACHE_MARGIN = 8 / 7  # cached images are larger than the input by this factor, so that a crop has enough detail
Log = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarityData:
    """The images to train on, one row each.

    `labels`: "" for none. `train` and `val`: rows. `partners`: rows known to differ, by row. `kind`: labels, edits or
    pairs.
    """

    images: ImageCache
    paths: Sequence[str]
    labels: Sequence[str]
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    partners: dict[int, list[int]]
    kind: str

    @property
    def classes(self) -> NDArray[np.int64]:
        """The label of each row as an integer."""
        return np.unique(np.asarray(self.labels, str), return_inverse=True)[1].astype(np.int64)


def with_defaults(config: SimilarityConfig, embedder: Embedder) -> SimilarityConfig:
    """Return the settings with defaults filled in."""
    kind = kind_of(config)
    small = config.model == SMALL_CNN
    head = config.train == "head" and not small
    return replace(
        config,
        train="all" if small else config.train,
        objective=config.objective or DEFAULT_OBJECTIVES[kind],
        side=config.side or (64 if small else embedder.card.preprocessing.size[0]),
        dim=config.dim or (128 if small else embedder.card.dim),
        augment=config.augment or ("edits" if kind == "edits" else "light"),
        views=config.views or (4 if kind == "edits" and head else 0),
        metric=config.metric or ("micro-AP" if kind == "edits" else "mAP"),
    )


def kind_of(config: SimilarityConfig) -> str:
    """Return the kind of source: labels, edits or pairs."""
    return config.source if config.source in DEFAULT_OBJECTIVES else "pairs"


def labels_of(split: Split, config: SimilarityConfig) -> tuple[Sequence[str], dict[int, list[int]], str]:
    """Return a label per row, rows known to differ, and the kind of source. Raises SourceError for useless labels."""
    kind = kind_of(config)
    if kind == "edits":
        return [str(row) for row in range(len(split.paths))], {}, kind
    if kind == "pairs":
        pairs = read_pairs(Path(config.source), split.paths)
        labels, partners = pairs.labels, pairs.partners
    else:
        labels, partners = list(split.labels), {}
    counts = Counter(labels[row] for row in split.rows("train") if labels[row])
    if not counts:
        raise SourceError(
            "no training image has a label; put the images of each label into one folder and split again, "
            "name a pairs file with --from, or train without labels: --from edits"
        )
    if len(counts) == 1:
        raise SourceError(
            f"all labeled training images have one label, {next(iter(counts))!r}, so there is nothing to tell apart; "
            "add images of other labels, or train with --from edits"
        )
    if max(counts.values()) == 1:
        raise SourceError(
            f"each of {len(counts):,} labels has only one training image, so no two images are alike; "
            "use labels that images share, or train with --from edits"
        )
    return labels, partners, kind


def load_data(
    split: Split,
    labels: Sequence[str],
    partners: dict[int, list[int]],
    kind: str,
    config: SimilarityConfig,
    run: RunFolder,
    progress: Progress | None,
) -> SimilarityData:
    """Cache the training and validation images. Rows are renumbered to those of the cache."""
    rows = [row for part in ("train", "val") for row in split.rows(part)]
    paths = [split.paths[row] for row in rows]
    side = config.side if config.side <= 64 else round(config.side * CACHE_MARGIN)
    images = cache_images(paths, run.cache, side=side, progress=progress)
    readable = set(images.rows.tolist())
    position = {row: n for n, row in enumerate(rows)}
    own = [labels[row] for row in rows]
    usable = [n for n in range(len(rows)) if n in readable and (own[n] or kind == "edits")]
    parts = [split.parts[row] for row in rows]
    return SimilarityData(
        images=images,
        paths=paths,
        labels=own,
        train=np.array([n for n in usable if parts[n] == "train"], np.int64),
        val=np.array([n for n in sorted(readable) if parts[n] == "val"], np.int64),
        partners={
            position[a]: [position[b] for b in others if b in position]
            for a, others in partners.items()
            if a in position
        },
        kind=kind,
    )


def warn_missing(split: Split, log: Log) -> None:
    """Log how many files of the split are missing."""
    if missing := split.missing_paths():
        count = f"{len(missing):,} images of the split are" if len(missing) > 1 else "1 image of the split is"
        log(f"{count} missing and left out; the first is {missing[0]}")


def log_data(data: SimilarityData, log: Log) -> None:
    """Log what the run trains on: image and label counts, skipped files."""
    for failure in data.images.failed[:5]:
        log(f"skipped {failure.path}: {failure.reason}")
    if len(data.images.failed) > 5:
        log(f"… {len(data.images.failed):,} images skipped in all")
    counts = Counter(data.labels[row] for row in data.train)
    if data.kind == "edits":
        log(f"{len(data.train):,} images to train on, {len(data.val):,} to validate")
        return
    single = sum(count == 1 for count in counts.values())
    have = "label has" if single == 1 else "labels have"
    alone = f"; {single:,} {have} one image, which is only paired with its own views" if single else ""
    labels = f"{len(counts):,} label{'s' * (len(counts) != 1)}"
    log(f"{len(data.train):,} images of {labels} to train on, {len(data.val):,} to validate{alone}")


def make_validator(data: SimilarityData, config: SimilarityConfig) -> Validator:
    """Return the validator of the data: by labels, or by edited copies."""
    pixels = data.images.pixels
    if data.kind == "edits":
        return validator_by_edits(pixels, data.train, data.val, config.seed)
    return validator_by_labels(pixels, data.labels, data.train, data.val, config.seed)


def embed_pixels(embedder: Embedder, pixels: NDArray[np.uint8], workers: int = 1) -> Vectors:
    """Embed cached images with a base model. Returns (n, dim)."""
    return embed_parts(embedder, len(pixels), lambda part: pixels[part], workers)


def embed_parts(
    embedder: Embedder, count: int, images_of: Callable[[slice], NDArray[np.uint8]], workers: int
) -> Vectors:
    """Embed the images of each slice, in threads that share the model. Returns (count, dim)."""
    vectors = np.empty((count, embedder.card.dim), np.float32)

    def work(parts: list[slice]) -> int:
        for part in parts:
            vectors[part] = embedder.embed(list(images_of(part)))
        return len(parts)

    parts = [slice(start, min(start + EMBED_BATCH, count)) for start in range(0, count, EMBED_BATCH)]
    for _ in parallel(parts, work, workers=workers, batch=1):
        pass
    return vectors


def resize_to(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return cached images at the size of a network's input."""
    if pixels.shape[1] == side:
        return np.asarray(pixels)
    shape = Preprocessing(size=(side, side))
    return np.stack([fit(image, shape) for image in pixels])
