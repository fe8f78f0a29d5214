"""A collection as arrays over all images, and the file facts of the few images that have candidates.

The rows are in the order of what they hold (`_content_order`), not of the store, so that nothing which samples rows,
breaks ties or limits their number depends on when an image was added.

A million images with 256-dimensional vectors take 512 MB, plus some 150 MB for the other arrays. The vectors of more
images are mapped from a temporary file; their rows are in the order of their ids.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.image import system_folder_of, to_path
from lookalike.parts import COPY, dim_of, part_of
from lookalike.search import Collection
from lookalike.types import Vectors

_COLUMNS = ["path", "root", "size", "mtime_ns", "sha256", "width", "height", "format", "frames", "plain"]
_READ_BATCH = 2000
MAX_IN_MEMORY = 1_500_000  # images
_SORTED_COLUMNS = 16  # columns of the vectors sorted together: a copy of all would double the memory


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """One file, or one image added from memory (`path` is "").

    `reference`: the file is always kept and never touched. `in_reference_collection`: it belongs to the collection
    that duplicates are searched against.
    """

    id: str
    path: str = ""
    root: str = ""
    sha256: str = ""
    size: int = 0
    mtime_ns: int = 0
    width: int = 0
    height: int = 0
    format: str = ""
    frames: int = 1
    plain: bool = False
    reference: bool = False
    in_reference_collection: bool = False

    @property
    def name(self) -> str:
        return self.path or self.id


@dataclass(slots=True)
class CollectionArrays:
    """All images of a collection, in an order that follows from their content.

    `vectors` (n, dim) in half precision, which changes a score by less than .001, or mapped. `digests` (n,): SHA-256,
    empty where there is none. `first_rows`: the row of each file's first frame. `later_frames`: the rows of a file's
    other frames, by the row of the first.
    """

    photos: Collection
    ids: list[str]
    vectors: NDArray[np.float16] | Vectors
    digests: NDArray[np.bytes_]
    plain: NDArray[np.bool_]
    frames: NDArray[np.int32]
    first_rows: NDArray[np.int64]
    later_frames: dict[int, list[int]] = field(default_factory=dict)
    is_reference: bool = False

    def file_facts(self, rows: Iterable[int], references: Sequence[str] = ()) -> dict[int, FileFacts]:
        """Return the facts of these rows; images removed from the collection meanwhile are left out."""
        requested, folders = list(rows), [_ReferenceFolder(folder) for folder in references]
        result: dict[int, FileFacts] = {}
        for start in range(0, len(requested), _READ_BATCH):
            batch = requested[start : start + _READ_BATCH]
            stored = self.photos.get([self.ids[row] for row in batch], _COLUMNS)
            for row, image in zip(batch, stored, strict=True):
                if image is not None:
                    facts = {name: value for name, value in image.metadata.items() if value is not None}
                    reference = self.is_reference or any(f.contains(str(facts.get("path", ""))) for f in folders)
                    facts |= {"reference": reference, "in_reference_collection": self.is_reference}
                    result[row] = FileFacts(id=image.id, **facts)  # type: ignore[arg-type]
        return result


def read_arrays(photos: Collection, *, where: str | None = None, is_reference: bool = False) -> CollectionArrays:
    """Read the arrays in one scan over the collection."""
    if len(photos) > MAX_IN_MEMORY:
        return _mapped_arrays(photos, where, is_reference=is_reference)
    ids, vectors, columns, animations = _scan(photos, where)
    digests = columns["sha256"].astype("S32")
    order = _content_order(digests, vectors, ids)
    for start in range(0, vectors.shape[1], _SORTED_COLUMNS):
        vectors[:, start : start + _SORTED_COLUMNS] = vectors[order, start : start + _SORTED_COLUMNS]
    row_of = np.empty(len(order), np.int64)
    row_of[order] = np.arange(len(order))
    frame_rows = [row_of[rows].tolist() for rows in animations]
    ordered = {name: values[order] for name, values in (columns | {"sha256": digests}).items()}
    return _arrays(photos, [ids[row] for row in order], vectors, ordered, frame_rows, is_reference=is_reference)


def _mapped_arrays(photos: Collection, where: str | None, *, is_reference: bool) -> CollectionArrays:
    """The arrays of many images, in the order of their ids."""
    ids, vectors = photos.vectors(where, part=COPY)
    sorted_ids = np.array(ids, object)
    n = len(ids)
    columns: dict[str, NDArray[Any]] = {
        "sha256": np.zeros(n, "S32"), "plain": np.zeros(n, np.bool_), "frames": np.ones(n, np.int32)
    }  # fmt: skip
    animated: dict[str, list[tuple[int, int]]] = {}
    for part in photos.store.scan(["id", "path", "frame", "sha256", "plain", "frames"], where=where):
        row_of = np.minimum(np.searchsorted(sorted_ids, part["id"]), len(ids) - 1)
        present = np.flatnonzero(sorted_ids[row_of] == part["id"])  # of the images that had a vector
        rows = row_of[present]
        columns["sha256"][rows] = _digests(part["sha256"][present])
        columns["plain"][rows] = [bool(value) for value in part["plain"][present].tolist()]
        columns["frames"][rows] = [int(value or 1) for value in part["frames"][present].tolist()]
        _note_animations(animated, part, present, rows, columns["frames"][rows])
    frame_rows = [[row for _, row in sorted(frames)] for frames in animated.values()]
    return _arrays(photos, ids, vectors, columns, frame_rows, is_reference=is_reference)


def _arrays(
    photos: Collection, ids: list[str], vectors: NDArray[np.float16] | Vectors, columns: Mapping[str, NDArray[Any]],
    frame_rows: list[list[int]], *, is_reference: bool,
) -> CollectionArrays:  # fmt: skip
    is_first = np.ones(len(ids), np.bool_)
    is_first[[row for _, *later in frame_rows for row in later]] = False
    further = {first: later for first, *later in frame_rows}
    plain, frames = columns["plain"].astype(np.bool_), columns["frames"].astype(np.int32)
    first = np.flatnonzero(is_first)
    return CollectionArrays(photos, ids, vectors, columns["sha256"], plain, frames, first, further, is_reference)


def _digests(values: NDArray[np.object_]) -> NDArray[np.bytes_]:
    return np.array([bytes.fromhex(sha or "") for sha in values.tolist()], "S32")


def _note_animations(
    animated: dict[str, list[tuple[int, int]]], part: Mapping[str, NDArray[Any]], positions: NDArray[np.int64],
    rows: NDArray[np.int64], frames: NDArray[np.int32],
) -> None:  # fmt: skip
    """Add the frames in a part of a scan, by path: the number of each and its row."""
    for n in np.flatnonzero(frames > 1).tolist():
        position = positions[n]
        if part["path"][position]:
            animated.setdefault(str(part["path"][position]), []).append(
                (int(part["frame"][position] or 0), int(rows[n]))
            )


def _scan(
    photos: Collection, where: str | None
) -> tuple[list[str], NDArray[np.float16], dict[str, NDArray[Any]], list[list[int]]]:
    """Return ids, vectors and other columns in the order of the store, and the rows of each animation's frames."""
    dim, count = dim_of(photos.card, COPY), 0
    vectors = np.empty((max(len(photos), 1), dim), np.float16)
    ids: list[str] = []
    columns: dict[str, list[NDArray[Any]]] = {"sha256": [], "plain": [], "frames": []}
    animated: dict[str, list[tuple[int, int]]] = {}
    for part in photos.store.scan(["id", "vector", "path", "frame", *columns], where=where):
        block = part_of(np.asarray(part["vector"]), photos.card, COPY)
        if count + len(block) > len(vectors):  # another process is adding
            vectors = np.concatenate([vectors[:count], np.empty((2 * len(block), dim), np.float16)])
        vectors[count : count + len(block)] = block
        ids += map(str, part["id"].tolist())
        columns["sha256"].append(_digests(part["sha256"]))
        columns["plain"].append(np.array([bool(plain) for plain in part["plain"].tolist()]))
        frames = np.array([int(n or 1) for n in part["frames"].tolist()], np.int32)
        columns["frames"].append(frames)
        _note_animations(animated, part, np.arange(len(block)), np.arange(count, count + len(block)), frames)
        count += len(block)
    arrays = {name: np.concatenate(parts) if parts else np.empty(0) for name, parts in columns.items()}
    return ids, vectors[:count], arrays, [[row for _, row in sorted(frames)] for frames in animated.values()]


def _content_order(digests: NDArray[np.bytes_], vectors: NDArray[np.float16], ids: Sequence[str]) -> NDArray[np.int64]:
    """Return the rows by digest, rows of one digest (or of none) by vector, and by id only if that is equal too."""
    order = np.argsort(digests, kind="stable")
    ordered = digests[order]
    edges = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1], True])
    for n in np.flatnonzero(np.diff(edges) > 1):
        tied = slice(edges[n], edges[n + 1])
        order[tied] = sorted(order[tied].tolist(), key=lambda row: (_short_hash(vectors[row]), ids[row]))
    return order


def _short_hash(vector: NDArray[np.float16]) -> bytes:
    return hashlib.blake2b(vector.tobytes(), digest_size=8).digest()


def is_link(path: str) -> bool:
    """Return whether the file at a path, in text form, is a symbolic link. "" is none."""
    return bool(path) and os.path.islink(to_path(path))


def is_in_system_folder(path: str) -> bool:
    """Return whether a file lies in a recycle bin, a snapshot, or among a program's own files (previews)."""
    folder = system_folder_of(path)
    return folder is not None and not folder.original


def may_replace(path: str, keep_path: str) -> bool:
    """Return whether a user may choose a file instead of the kept one: no links, no files of a recycle bin."""
    return not is_link(path) and (is_in_system_folder(keep_path) or not is_in_system_folder(path))


class _ReferenceFolder:
    """A folder whose files are never touched, by its path as typed and with links resolved."""

    def __init__(self, folder: str) -> None:
        absolute = os.path.abspath(os.path.expanduser(to_path(folder)))
        self._prefixes = tuple({os.path.join(path, "") for path in (absolute, os.path.realpath(absolute))})

    def contains(self, path: str) -> bool:
        if not path:
            return False
        file = to_path(path)
        return file.startswith(self._prefixes) or os.path.realpath(file).startswith(self._prefixes)
