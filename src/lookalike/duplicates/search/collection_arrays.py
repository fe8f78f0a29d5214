"""A collection as duplicates see it: arrays over all images, and the facts of the few that matter.

A million images of 256 numbers take 512 MB of vectors and some 150 MB beside; facts are read only for images that have
a partner.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.image import system_folder_of, to_path
from lookalike.search import Collection

_FACTS = ["path", "root", "size", "mtime_ns", "sha256", "width", "height", "format", "frames", "plain"]
_AT_ONCE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One file, or one picture added from memory (`path` is "").

    `reference`: it may not be touched. `master`: it belongs to the other collection.
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
    master: bool = False

    @property
    def name(self) -> str:
        return self.path or self.id


@dataclass(slots=True)
class Rows:
    """All images of a collection. `vectors` (n, dim) in half precision: a score moves by less than .001.

    `digests`: SHA-256, empty where there is none. `firsts`: the rows that stand for their file. `later`: the rows of
    further frames by the row of the first.
    """

    photos: Collection
    ids: list[str]
    vectors: NDArray[np.float16]
    digests: NDArray[np.bytes_]
    plain: NDArray[np.bool_]
    frames: NDArray[np.int32]
    firsts: NDArray[np.int64]
    later: dict[int, list[int]] = field(default_factory=dict)
    master: bool = False

    def pictures(self, rows: Iterable[int], references: Sequence[str] = ()) -> dict[int, Picture]:
        """The facts of these rows; an image that went away meanwhile is left out."""
        wanted, folders = list(rows), [_Folder(folder) for folder in references]
        found: dict[int, Picture] = {}
        for at in range(0, len(wanted), _AT_ONCE):
            some = wanted[at : at + _AT_ONCE]
            stored = self.photos.get([self.ids[row] for row in some], _FACTS)
            for row, known in zip(some, stored, strict=True):
                if known is not None:
                    facts = {name: value for name, value in known.metadata.items() if value is not None}
                    reference = self.master or any(folder.holds(str(facts.get("path", ""))) for folder in folders)
                    found[row] = Picture(id=known.id, reference=reference, master=self.master, **facts)  # type: ignore[arg-type]
        return found


def read_rows(photos: Collection, *, where: str | None = None, master: bool = False) -> Rows:
    """One scan over the collection."""
    dim, count = photos.card.dim, 0
    vectors = np.empty((max(len(photos), 1), dim), np.float16)
    ids: list[str] = []
    kept: dict[str, list[NDArray[Any]]] = {"sha256": [], "plain": [], "frames": []}
    animated: dict[str, list[tuple[int, int]]] = {}
    for part in photos.store.scan(["id", "vector", "path", "frame", *kept], where=where):
        block = np.asarray(part["vector"])
        if count + len(block) > len(vectors):  # another process is adding
            vectors = np.concatenate([vectors[:count], np.empty((2 * len(block), dim), np.float16)])
        vectors[count : count + len(block)] = block
        ids += map(str, part["id"].tolist())
        kept["sha256"].append(np.array([bytes.fromhex(sha or "") for sha in part["sha256"].tolist()], "S32"))
        kept["plain"].append(np.array([bool(plain) for plain in part["plain"].tolist()]))
        frames = np.array([int(n or 1) for n in part["frames"].tolist()], np.int32)
        kept["frames"].append(frames)
        for at in np.flatnonzero(frames > 1):
            if part["path"][at]:
                animated.setdefault(str(part["path"][at]), []).append((int(part["frame"][at] or 0), count + int(at)))
        count += len(block)
    later = {rows[0][1]: [row for _, row in rows[1:]] for rows in map(sorted, animated.values())}
    first = np.ones(count, np.bool_)
    first[[row for rows in later.values() for row in rows]] = False
    arrays = {name: np.concatenate(parts) if parts else np.empty(0) for name, parts in kept.items()}
    return Rows(
        photos, ids, vectors[:count], arrays["sha256"].astype("S32"), arrays["plain"].astype(np.bool_),
        arrays["frames"].astype(np.int32), np.flatnonzero(first), later, master,
    )  # fmt: skip


def is_link(path: str) -> bool:
    """Whether the file at a path, in its text form, is a symbolic link; a picture without a path is none."""
    return bool(path) and os.path.islink(to_path(path))


def is_set_aside(path: str) -> bool:
    """Whether a file lies in a recycle bin, a snapshot, or among a program's own files (previews, thumbnails)."""
    folder = system_folder_of(path)
    return folder is not None and not folder.original


def may_be_chosen(path: str, kept: str) -> bool:
    """Whether a person's choice can put a file before the one that is kept: never a link, never what is set aside."""
    return not is_link(path) and (is_set_aside(kept) or not is_set_aside(path))


class _Folder:
    """A folder nobody may touch, by the name the user gave and by where it really is."""

    def __init__(self, folder: str) -> None:
        given = os.path.abspath(os.path.expanduser(to_path(folder)))
        self._beginnings = tuple({os.path.join(place, "") for place in (given, os.path.realpath(given))})

    def holds(self, path: str) -> bool:
        if not path:
            return False
        file = to_path(path)
        return file.startswith(self._beginnings) or os.path.realpath(file).startswith(self._beginnings)
