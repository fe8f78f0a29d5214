"""Training, validation and test parts of a set of images; near-copies always share a part. Imports no torch.

    collection (vectors, sha256, labels) ─ groups of near-copies ─ ordered by label ─ assigned to the parts

The assignment is error diffusion: each group adds to every part's balance its share of the group's images, and the part
with the largest balance takes the group. Groups come label by label, so every label is divided in the same proportions
to within one image.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery, SourceError, nearest
from lookalike.parts import COPY, dim_of, part_of

if TYPE_CHECKING:
    from lookalike.search import Collection

PARTS = ("train", "val", "test")
LABELS = ("auto", "folder", "none")
MIN_SCORE = 0.95
_CHUNK = 256

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The part of each image. `labels`: "" for none; `parts`: of PARTS.

    `missing`: path and part of images that a split file names and that no longer exist.
    """

    paths: Sequence[str]
    labels: Sequence[str]
    parts: Sequence[str]
    missing: Sequence[tuple[str, str]] = ()

    def rows(self, part: str) -> list[int]:
        """Return the rows of one part."""
        return [row for row, name in enumerate(self.parts) if name == part]

    def missing_paths(self) -> list[str]:
        """Return the missing paths of training and validation."""
        return [path for path, part in self.missing if part != "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitOptions:
    """The options of a split.

    `test` and `val`: shares from 0 to 1. `unseen`: each label lies in one part. `min_score`: from this score up, two
    images are near-copies. `labels`: "auto" (the manifest's, else the folder's name), "folder" or "none".
    """

    test: float = 0.2
    val: float = 0.02
    seed: int = 0
    unseen: bool = False
    min_score: float = MIN_SCORE
    labels: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitReport:
    """The counts of a split.

    `counts`: images by part. `labels`: labels; `single`: those with one image. `groups`: groups of near-copies;
    `grouped`: images in them. `leak`: images of validation and test with a near-copy in another part, if the same seed
    had ignored near-copies.
    """

    counts: dict[str, int]
    labels: int
    single: int
    groups: int
    grouped: int
    leak: int


def make_split(photos: "Collection", options: SplitOptions) -> tuple[Split, SplitReport]:
    """Split a collection's images by its own vectors and hashes. The same images and seed give the same parts.

    Raises SourceError if there are fewer than three images, BadQuery for shares that leave no training part and for
    `unseen` without labels.
    """
    check_options(options)
    paths, labels, hashes, vectors = _read_images(photos, options.labels)
    if len(paths) < 3:
        raise SourceError(f"{len(paths)} images cannot be split into three parts; name a folder with more")
    if options.unseen and len({label for label in labels if label}) < 3:
        raise BadQuery(
            "--unseen splits by label and there are fewer than three labels; leave it out, or use labeled images"
        )
    pairs = near_copies(vectors, options.min_score)
    ties = connected_components(len(paths), [*pairs, *equal_pairs(hashes)])
    parts = assign_parts(labels, ties, options)
    naive = assign_parts(labels, np.arange(len(paths)), options)
    single = sum(count == 1 for label, count in Counter(labels).items() if label)
    sizes = Counter(ties.tolist())
    report = SplitReport(
        counts={name: parts.count(name) for name in PARTS},
        labels=len({label for label in labels if label}),
        single=single,
        groups=sum(count > 1 for count in sizes.values()),
        grouped=sum(count for count in sizes.values() if count > 1),
        leak=_leak(naive, [*pairs, *equal_pairs(hashes)]),
    )
    return Split(paths=paths, labels=labels, parts=parts), report


def assign_parts(labels: Sequence[str], ties: Ints, options: SplitOptions) -> list[str]:
    """Return a part for each image. `ties`: (n,) group numbers; a group stays together."""
    if options.unseen:
        ties = connected_components(len(labels), [*equal_pairs(ties.tolist()), *equal_pairs(labels)])
    random = np.random.default_rng(options.seed)
    shares = np.array([1 - options.val - options.test, options.val, options.test])
    balance = shares * random.uniform(0, 1, 3)
    part = np.zeros(len(labels), np.int64)
    for members in _ordered_groups(labels, ties, random):
        balance += shares * len(members)
        # A group too large for the largest balance goes to training.
        largest = int(np.argmax(balance))
        chosen = largest if balance[largest] >= len(members) / 2 else 0
        balance[chosen] -= len(members)
        part[members] = chosen
    for min_groups in (1, 2) if options.unseen else (1,):  # with one label, no answer can be wrong
        _fill_small_parts(part, ties, shares, min_groups)
    return [PARTS[p] for p in part]


def _fill_small_parts(part: Ints, ties: Ints, shares: NDArray[np.float64], min_groups: int) -> None:
    """Move the smallest groups of training to parts with a share but fewer than `min_groups`, if training has more.

    With `min_groups` above 1, a group of one image, which has no answer, moves only if there is no other.
    """
    for small in (1, 2):
        while shares[small] and len(set(ties[part == small].tolist())) < min_groups:
            sizes = Counter(ties[part == 0].tolist())
            if len(sizes) <= min_groups:
                break
            part[ties == min(sizes, key=lambda tie: (min_groups > 1 and sizes[tie] == 1, sizes[tie], tie))] = small


def near_copies(vectors: NDArray[np.float32], min_score: float) -> list[tuple[int, int]]:
    """Return the pairs of rows, a < b, with a score of at least `min_score`."""
    pairs = []
    for start in range(0, len(vectors), _CHUNK):
        scores = vectors[start : start + _CHUNK] @ vectors[start:].T
        for a, b in np.argwhere(scores >= min_score):
            if a < b:
                pairs.append((start + int(a), start + int(b)))
    return pairs


def equal_pairs(values: Sequence[object]) -> list[tuple[int, int]]:
    """Return pairs that link all rows of the same value in a chain; empty values are not linked."""
    last: dict[object, int] = {}
    pairs = []
    for row, value in enumerate(values):
        if value == "":
            continue
        if value in last:
            pairs.append((last[value], row))
        last[value] = row
    return pairs


def connected_components(count: int, pairs: Sequence[tuple[int, int]]) -> Ints:
    """Return (count,): for each row, the smallest row connected to it, directly or through others."""
    parent = list(range(count))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return np.array([root(row) for row in range(count)], np.int64)


def _ordered_groups(labels: Sequence[str], ties: Ints, random: np.random.Generator) -> list[list[int]]:
    """Return the groups' rows, ordered by the label of their first image, labels and groups in random order."""
    members: dict[int, list[int]] = {}
    for row, tie in enumerate(ties.tolist()):
        members.setdefault(tie, []).append(row)
    groups = [members[tie] for tie in sorted(members)]
    shuffled = [groups[i] for i in random.permutation(len(groups))]
    order = {label: position for position, label in enumerate(random.permutation(sorted(set(labels))))}
    return sorted(shuffled, key=lambda rows: order[labels[rows[0]]])


def _leak(parts: Sequence[str], pairs: Sequence[tuple[int, int]]) -> int:
    across = [(a, b) for a, b in pairs if parts[a] != parts[b]]
    return len({row for pair in across for row in pair if parts[row] != "train"})


def check_options(options: SplitOptions) -> None:
    """Raise BadQuery for options that `make_split` refuses for any images, before they are read."""
    if not (0 <= options.test < 1 and 0 <= options.val < 1 and options.test + options.val < 1):
        raise BadQuery(
            f"--test {options.test} and --val {options.val} leave nothing to train on; use shares such as .2"
        )
    if options.labels not in LABELS:
        raise BadQuery(f"labels {options.labels!r} is not known; {nearest(options.labels, LABELS)}")


def _read_images(photos: "Collection", rule: str) -> tuple[list[str], list[str], list[str], NDArray[np.float32]]:
    """Return paths, labels, hashes and (n, dim) vectors of a collection's images, first frames only, by path."""
    rows: dict[str, tuple[str, str, NDArray[np.float32]]] = {}
    roots: dict[str, str] = {}
    names = [name for name in ("path", "label", "sha256", "root", "frame") if name in photos.store.columns()]
    for batch in photos.store.scan(["vector", *names]):
        for n, path in enumerate(batch["path"]):
            if "frame" in batch and batch["frame"][n]:
                continue
            own_label = batch["label"][n] if "label" in batch else None
            label = label_of(str(path), str(batch["root"][n]), own_label, rule)
            roots[str(path)] = str(batch["root"][n])
            vector = part_of(batch["vector"][n], photos.card, COPY)
            rows[str(path)] = (label, str(batch["sha256"][n]), vector)
    paths = sorted(rows)
    vectors = np.stack([rows[p][2] for p in paths]) if paths else np.zeros((0, dim_of(photos.card, COPY)), np.float32)
    labels = [rows[p][0] for p in paths]
    if rule != "none" and not any(labels):
        labels = folder_labels([roots[p] for p in paths], paths)
    return paths, labels, [rows[p][1] for p in paths], vectors


def folder_labels(roots: Sequence[str], paths: Sequence[str]) -> list[str]:
    """Return the name of each image's root as its label if there are several roots: `split red green blue`."""
    inside = all(root and path.startswith(f"{root}/") for root, path in zip(roots, paths, strict=True))
    if not inside or len(set(roots)) < 2:
        return [""] * len(paths)
    return [PurePosixPath(root).name for root in roots]


def label_of(path: str, root: str, own_label: object, rule: str) -> str:
    """Return an image's label: the manifest's, else the first folder below its root on its path, else ""."""
    if rule == "none":
        return ""
    if rule == "auto" and own_label not in (None, ""):
        return str(own_label)
    if root and path.startswith(f"{root}/"):
        between = PurePosixPath(path[len(root) + 1 :]).parts[:-1]
        return between[0] if between else ""
    return ""
