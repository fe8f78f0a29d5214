"""Train, validation and test parts of a set of pictures; no near-copy of a picture lies in another part. No torch here.

    collection (vectors, sha256, labels) ─ near-copies tied together ─ ties laid out by label ─ dealt to the parts

Dealing is error diffusion: every part is owed its share of each picture that passes, and the part that is owed most
takes it. Pictures pass label by label, so that every label is cut in the same proportions to within one picture.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery, SourceError, nearest

if TYPE_CHECKING:
    from lookalike.search import Collection

PARTS = ("train", "val", "test")
LABELS = ("auto", "folder", "none")
MIN_SCORE = 0.95
_BLOCK = 256

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Which picture belongs to which part. `labels`: "" where there is none; `parts`: of PARTS.

    `missing`: path and part of what a file of a split names and is not there any more.
    """

    paths: Sequence[str]
    labels: Sequence[str]
    parts: Sequence[str]
    missing: Sequence[tuple[str, str]] = ()

    def rows(self, part: str) -> list[int]:
        """The rows of one part."""
        return [row for row, name in enumerate(self.parts) if name == part]

    def gone(self) -> list[str]:
        """The paths of training and validation that are missing."""
        return [path for path, part in self.missing if part != "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitOptions:
    """`test` and `val`: shares from 0 to 1. `unseen`: whole labels go to one part. `min_score`: from here up two
    pictures are near-copies. `labels`: "auto" (a manifest's, else the folder's name), "folder" or "none"."""

    test: float = 0.2
    val: float = 0.02
    seed: int = 0
    unseen: bool = False
    min_score: float = MIN_SCORE
    labels: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitReport:
    """What was done: pictures by part, labels, groups of near-copies, and `leak`: how many pictures of validation and
    test a split that ignores near-copies, of the same seed, would have had a near-copy of in another part."""

    counts: dict[str, int]
    labels: int
    single: int
    groups: int
    grouped: int
    leak: int


def make_split(photos: "Collection", options: SplitOptions) -> tuple[Split, SplitReport]:
    """Split a collection's pictures by its own vectors and hashes. The same pictures and seed give the same parts.

    Raises SourceError when there is nothing to split, BadQuery for shares that leave no training part and for
    `unseen` without labels.
    """
    check_options(options)
    paths, labels, hashes, vectors = _pictures(photos, options.labels)
    if len(paths) < 3:
        raise SourceError(f"{len(paths)} pictures cannot be split into three parts; name a folder with more")
    if options.unseen and len({label for label in labels if label}) < 3:
        raise BadQuery("--unseen sets whole labels apart and there are fewer than three; leave it out, or give labels")
    pairs = near_copies(vectors, options.min_score)
    ties = joined(len(paths), [*pairs, *same(hashes)])
    parts = deal(labels, ties, options)
    naive = deal(labels, np.arange(len(paths)), options)
    single = sum(count == 1 for label, count in Counter(labels).items() if label)
    sizes = Counter(ties.tolist())
    report = SplitReport(
        counts={name: parts.count(name) for name in PARTS},
        labels=len({label for label in labels if label}),
        single=single,
        groups=sum(count > 1 for count in sizes.values()),
        grouped=sum(count for count in sizes.values() if count > 1),
        leak=_leak(naive, [*pairs, *same(hashes)]),
    )
    return Split(paths=paths, labels=labels, parts=parts), report


def deal(labels: Sequence[str], ties: Ints, options: SplitOptions) -> list[str]:
    """A part for each picture. `ties`: (n,) pictures of one number stay together."""
    if options.unseen:
        ties = joined(len(labels), [*same(ties.tolist()), *same(labels)])
    random = np.random.default_rng(options.seed)
    shares = np.array([1 - options.val - options.test, options.val, options.test])
    owed = shares * random.uniform(0, 1, 3)
    part = np.zeros(len(labels), np.int64)
    for members in _laid_out(labels, ties, random):
        owed += shares * len(members)
        # A tie too large for what a small part is owed goes to training, however much is owed to the others.
        fits = owed >= len(members) / 2
        chosen = int(np.argmax(owed)) if fits[int(np.argmax(owed))] else 0
        owed[chosen] -= len(members)
        part[members] = chosen
    for least in (1, 2) if options.unseen else (1,):  # among pictures of one label nothing can be answered wrong
        _leave_none_short(part, ties, shares, least)
    return [PARTS[p] for p in part]


def _leave_none_short(part: Ints, ties: Ints, shares: NDArray[np.float64], least: int) -> None:
    """A part that was asked for and got fewer ties gets the smallest of training, where training has others.

    A tie of one picture, which nothing answers, goes only where there is no other.
    """
    for wanted in (1, 2):
        while shares[wanted] and len(set(ties[part == wanted].tolist())) < least:
            left = Counter(ties[part == 0].tolist())
            if len(left) <= least:
                break
            part[ties == min(left, key=lambda tie: (least > 1 and left[tie] == 1, left[tie], tie))] = wanted


def near_copies(vectors: NDArray[np.float32], min_score: float) -> list[tuple[int, int]]:
    """Pairs of rows, a < b, whose score is at least `min_score`."""
    pairs = []
    for start in range(0, len(vectors), _BLOCK):
        scores = vectors[start : start + _BLOCK] @ vectors[start:].T
        for a, b in np.argwhere(scores >= min_score):
            if a < b:
                pairs.append((start + int(a), start + int(b)))
    return pairs


def same(values: Sequence[object]) -> list[tuple[int, int]]:
    """Pairs of rows that tie all rows of the same value in a chain; empty values tie nothing."""
    last: dict[object, int] = {}
    pairs = []
    for row, value in enumerate(values):
        if value == "":
            continue
        if value in last:
            pairs.append((last[value], row))
        last[value] = row
    return pairs


def joined(count: int, pairs: Sequence[tuple[int, int]]) -> Ints:
    """(count,) the smallest row that each row is tied to, directly or through others."""
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


def _laid_out(labels: Sequence[str], ties: Ints, random: np.random.Generator) -> list[list[int]]:
    """Ties in random order, then by the label of their first picture."""
    members: dict[int, list[int]] = {}
    for row, tie in enumerate(ties.tolist()):
        members.setdefault(tie, []).append(row)
    groups = [members[tie] for tie in sorted(members)]
    shuffled = [groups[i] for i in random.permutation(len(groups))]
    order = {label: place for place, label in enumerate(random.permutation(sorted(set(labels))))}
    return sorted(shuffled, key=lambda rows: order[labels[rows[0]]])


def _leak(parts: Sequence[str], pairs: Sequence[tuple[int, int]]) -> int:
    across = [(a, b) for a, b in pairs if parts[a] != parts[b]]
    return len({row for pair in across for row in pair if parts[row] != "train"})


def check_options(options: SplitOptions) -> None:
    """Raise BadQuery for what `make_split` would refuse whatever the pictures: better said before they are read."""
    if not (0 <= options.test < 1 and 0 <= options.val < 1 and options.test + options.val < 1):
        raise BadQuery(
            f"--test {options.test} and --val {options.val} leave nothing to train on; give shares such as .2"
        )
    if options.labels not in LABELS:
        raise BadQuery(f"labels {options.labels!r} is not known; {nearest(options.labels, LABELS)}")


def _pictures(photos: "Collection", rule: str) -> tuple[list[str], list[str], list[str], NDArray[np.float32]]:
    """Paths, labels, hashes and (n, dim) vectors of a collection's pictures, first frames only, by path."""
    rows: dict[str, tuple[str, str, NDArray[np.float32]]] = {}
    roots: dict[str, str] = {}
    names = [name for name in ("path", "label", "sha256", "root", "frame") if name in photos.store.columns()]
    for batch in photos.store.scan(["vector", *names]):
        for n, path in enumerate(batch["path"]):
            if "frame" in batch and batch["frame"][n]:
                continue
            given = batch["label"][n] if "label" in batch else None
            label = label_of(str(path), str(batch["root"][n]), given, rule)
            roots[str(path)] = str(batch["root"][n])
            rows[str(path)] = (label, str(batch["sha256"][n]), batch["vector"][n])
    paths = sorted(rows)
    vectors = np.stack([rows[p][2] for p in paths]) if paths else np.zeros((0, photos.card.dim), np.float32)
    labels = [rows[p][0] for p in paths]
    if rule != "none" and not any(labels):
        labels = names_of_folders([roots[p] for p in paths], paths)
    return paths, labels, [rows[p][1] for p in paths], vectors


def names_of_folders(roots: Sequence[str], paths: Sequence[str]) -> list[str]:
    """Where several folders were named and none has folders of its own, each is a label: `split red green blue`."""
    inside = all(root and path.startswith(f"{root}/") for root, path in zip(roots, paths, strict=True))
    if not inside or len(set(roots)) < 2:
        return [""] * len(paths)
    return [PurePosixPath(root).name for root in roots]


def label_of(path: str, root: str, given: object, rule: str) -> str:
    """A picture's label: a manifest's own, else the first folder on the way from the indexed folder to it, else ""."""
    if rule == "none":
        return ""
    if rule == "auto" and given not in (None, ""):
        return str(given)
    if root and path.startswith(f"{root}/"):
        between = PurePosixPath(path[len(root) + 1 :]).parts[:-1]
        return between[0] if between else ""
    return ""
