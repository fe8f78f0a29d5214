"""What similarity is learnt from: labels, pairs or the pictures alone, gathered out of a split into one cache."""

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
from lookalike.train.data.cache import Pictures, cache_pictures
from lookalike.train.data.pairs import read_pairs
from lookalike.train.run_folder import RunFolder
from lookalike.train.split import Split
from lookalike.train.validation import Judge, judge_by_edits, judge_by_labels
from lookalike.types import Embedder, Preprocessing, Vectors

USUAL = {"labels": "supcon", "pairs": "nt_xent", "edits": "sscd"}
SMALL = "small-cnn"
AT_ONCE = 64  # pictures a thread makes and embeds together
MARGIN = 8 / 7  # cached pictures are larger than the input by so much, so that a crop still has real detail
Say = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What is trained on: the cache's pixels, a label a row ("" for none), rows of training and validation, and
    `partners`: rows known to differ."""

    pictures: Pictures
    paths: Sequence[str]
    labels: Sequence[str]
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    partners: dict[int, list[int]]
    kind: str

    @property
    def classes(self) -> NDArray[np.int64]:
        """A number a row: the same label, the same number."""
        return np.unique(np.asarray(self.labels, str), return_inverse=True)[1].astype(np.int64)


def settled(config: SimilarityConfig, embedder: Embedder) -> SimilarityConfig:
    """The settings with their usual values filled in."""
    kind = kind_of(config)
    small = config.model == SMALL
    head = config.train == "head" and not small
    return replace(
        config,
        train="all" if small else config.train,
        objective=config.objective or USUAL[kind],
        side=config.side or (64 if small else embedder.card.preprocessing.size[0]),
        dim=config.dim or (128 if small else embedder.card.dim),
        augment=config.augment or ("edits" if kind == "edits" else "light"),
        views=config.views or (4 if kind == "edits" and head else 0),
        metric=config.metric or ("micro-AP" if kind == "edits" else "mAP"),
    )


def kind_of(config: SimilarityConfig) -> str:
    """labels, edits or pairs."""
    return config.source if config.source in USUAL else "pairs"


def labels_of(split: Split, config: SimilarityConfig) -> tuple[Sequence[str], dict[int, list[int]], str]:
    """A label a row, rows known to differ, and the kind of source. Raises SourceError where labels teach nothing."""
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
            "no training picture has a label; put pictures into one folder a label and split again, "
            "name a pairs file with --from, or train without labels: --from edits"
        )
    if len(counts) == 1:
        raise SourceError(
            f"all labelled training pictures have one label, {next(iter(counts))!r}, and nothing to differ from; "
            "add pictures of others, or train with --from edits"
        )
    if max(counts.values()) == 1:
        raise SourceError(
            f"each of {len(counts):,} labels has one training picture, so that nothing is alike; "
            "give labels that pictures share, or train with --from edits"
        )
    return labels, partners, kind


def gather(
    split: Split,
    labels: Sequence[str],
    partners: dict[int, list[int]],
    kind: str,
    config: SimilarityConfig,
    run: RunFolder,
    progress: Progress | None,
) -> Data:
    """Cache the pictures of training and validation. Rows are renumbered to those of the cache."""
    wanted = [row for part in ("train", "val") for row in split.rows(part)]
    paths = [split.paths[row] for row in wanted]
    side = config.side if config.side <= 64 else round(config.side * MARGIN)
    pictures = cache_pictures(paths, run.cache, side=side, progress=progress)
    readable = set(pictures.rows.tolist())
    place = {row: n for n, row in enumerate(wanted)}
    own = [labels[row] for row in wanted]
    usable = [n for n in range(len(wanted)) if n in readable and (own[n] or kind == "edits")]
    parts = [split.parts[row] for row in wanted]
    return Data(
        pictures=pictures,
        paths=paths,
        labels=own,
        train=np.array([n for n in usable if parts[n] == "train"], np.int64),
        val=np.array([n for n in sorted(readable) if parts[n] == "val"], np.int64),
        partners={place[a]: [place[b] for b in others if b in place] for a, others in partners.items() if a in place},
        kind=kind,
    )


def tell_gone(split: Split, say: Say) -> None:
    """Pictures of the split that are not there any more, in one line."""
    if gone := split.gone():
        told = f"{len(gone):,} pictures of the split are" if len(gone) > 1 else "1 picture of the split is"
        say(f"{told} not there any more and left out; the first is {gone[0]}")


def told(data: Data, say: Say) -> None:
    """What a person should know before a long run."""
    for failure in data.pictures.failed[:5]:
        say(f"skipped {failure.path}: {failure.reason}")
    if len(data.pictures.failed) > 5:
        say(f"… {len(data.pictures.failed):,} pictures skipped in all")
    counts = Counter(data.labels[row] for row in data.train)
    if data.kind == "edits":
        say(f"{len(data.train):,} pictures to train on, {len(data.val):,} to validate")
        return
    single = sum(count == 1 for count in counts.values())
    have = "label has" if single == 1 else "labels have"
    alone = f"; {single:,} {have} one picture, which is only paired with its own views" if single else ""
    labels = f"{len(counts):,} label{'s' * (len(counts) != 1)}"
    say(f"{len(data.train):,} pictures of {labels} to train on, {len(data.val):,} to validate{alone}")


def judge_of(data: Data, config: SimilarityConfig) -> Judge:
    """By the labels there are, or by edited copies."""
    pixels = data.pictures.pixels
    if data.kind == "edits":
        return judge_by_edits(pixels, data.train, data.val, config.seed)
    return judge_by_labels(pixels, data.labels, data.train, data.val, config.seed)


def embed_pixels(embedder: Embedder, pixels: NDArray[np.uint8], workers: int = 1) -> Vectors:
    """(n, dim) vectors of cached pictures, by a model of before."""
    return embed_parts(embedder, len(pixels), lambda part: pixels[part], workers)


def embed_parts(
    embedder: Embedder, count: int, pictures: Callable[[slice], NDArray[np.uint8]], workers: int
) -> Vectors:
    """(count, dim) vectors of what `pictures` makes of each slice, in threads that share the model."""
    found = np.empty((count, embedder.card.dim), np.float32)

    def work(parts: list[slice]) -> int:
        for part in parts:
            found[part] = embedder.embed(list(pictures(part)))
        return len(parts)

    parts = [slice(start, min(start + AT_ONCE, count)) for start in range(0, count, AT_ONCE)]
    for _ in parallel(parts, work, workers=workers, batch=1):
        pass
    return found


def fitted(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Cached pictures at the size of a network's input."""
    if pixels.shape[1] == side:
        return np.asarray(pixels)
    shape = Preprocessing(size=(side, side))
    return np.stack([fit(picture, shape) for picture in pixels])
