"""The indexed files of a collection by path: columns in memory, some 300 bytes a file, instead of 800 as objects.

Paths are found by their hash among sorted ones, and compared.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Store

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 8192


@dataclass(slots=True)
class KnownFile:
    """An indexed file; an animation has several ids.

    `row`: its number among the known files. `root`: the root that lists it; "" for a file that was named by itself,
    None for one that a program added.
    """

    row: int
    path: str
    ids: list[str]
    root: str | None
    size: int
    mtime_ns: int
    frames: int


class KnownFiles:
    """All indexed files. Images added from memory have no file."""

    def __init__(self, store: Store) -> None:
        self.repeated = 0  # rows whose id another row of the same file has
        self._roots: list[str | None] = []
        columns = _FileColumns(self._roots)
        for part in store.scan(["id", "path", "root", "size", "mtime_ns", "frames"]):
            columns.add(part)
        self._paths, self._ids, self._without_path = (columns.texts(name) for name in ("path", "id", "without path"))
        self.root_of = columns.numbers("root", np.int32)
        self._sizes, self._mtimes = columns.numbers("size", np.int64), columns.numbers("mtime_ns", np.int64)
        self._frames = columns.numbers("frames", np.int32)
        self._hashes, self._rows = _sorted_hashes(self._paths)
        self._further = self._separate_frames()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def roots(self) -> Sequence[str | None]:
        """The roots of files; `root_of` (n,) numbers them for each row."""
        return self._roots

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The rows of all files, ascending."""
        return np.sort(self._rows)

    def lookup(self, paths: Sequence[str]) -> list[KnownFile | None]:
        """Return the file of each path, None where none is known."""
        hashes = np.fromiter(map(hash, paths), np.int64, len(paths))
        start = np.searchsorted(self._hashes, hashes)
        near = np.minimum(start, max(len(self._hashes) - 1, 0))
        hits = np.flatnonzero(self._hashes[near] == hashes) if len(self._hashes) else np.empty(0, np.int64)
        files: list[KnownFile | None] = [None] * len(paths)
        for n, file in zip(hits.tolist(), self.at(self._rows[near[hits]]), strict=True):
            files[n] = file if file.path == paths[n] else self._with_same_hash(paths[n], int(start[n]) + 1)
        return files

    def get(self, path: str) -> KnownFile | None:
        """Return the file of a path, or None."""
        return self.lookup([path])[0]

    def at(self, rows: NDArray[np.int64]) -> list[KnownFile]:
        """Return the files of some rows."""
        if not len(rows):
            return []
        columns = zip(
            rows.tolist(), _taken(self._paths, rows), _taken(self._ids, rows), self.root_of[rows].tolist(),
            self._sizes[rows].tolist(), self._mtimes[rows].tolist(), self._frames[rows].tolist(), strict=True,
        )  # fmt: skip
        return [
            KnownFile(row, path, self._all_ids(row, image_id), self._roots[root], size, mtime, frames)
            for row, path, image_id, root, size, mtime, frames in columns
        ]

    def files(self, rows: NDArray[np.int64]) -> Iterator[KnownFile]:
        """Yield the files of many rows."""
        for start in range(0, len(rows), _BLOCK):
            yield from self.at(rows[start : start + _BLOCK])

    def has_id(self, image_id: str) -> bool:
        """Return whether an image of a file has this id."""
        return _contains(self._ids, self._id_hashes, image_id)

    def has_id_without_path(self, image_id: str) -> bool:
        """Return whether an image that is no file's has this id: it was added from memory."""
        return _contains(self._without_path, self._hashes_without_path, image_id)

    @cached_property
    def _id_hashes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return _sorted_hashes(self._ids)

    @cached_property
    def _hashes_without_path(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return _sorted_hashes(self._without_path)

    def _with_same_hash(self, path: str, start: int) -> KnownFile | None:
        rows = self._rows[start : _end(self._hashes, start - 1)]
        return next((file for file in self.at(rows) if file.path == path), None)

    def _all_ids(self, row: int, image_id: str) -> list[str]:
        further = self._further.get(row)
        return [image_id] if further is None else sorted([image_id, *further], key=lambda name: (len(name), name))

    def _separate_frames(self) -> dict[int, list[str]]:
        """Leave one row of each file: the other ids of animations, by that row."""
        same = np.zeros(len(self._rows), np.bool_)
        same[1:] = self._hashes[1:] == self._hashes[:-1]
        same[:-1] |= same[1:]
        by_path: dict[str, list[int]] = defaultdict(list)
        for row, path in zip(self._rows[same].tolist(), _taken(self._paths, self._rows[same]), strict=True):
            by_path[path].append(row)
        self.repeated = sum(len(rows) - len(set(_taken(self._ids, np.array(rows)))) for rows in by_path.values())
        later = np.array([row for rows in by_path.values() for row in rows[1:]], np.int64)
        retained = ~np.isin(self._rows, later)
        self._hashes, self._rows = self._hashes[retained], self._rows[retained]
        return {rows[0]: _taken(self._ids, np.array(rows[1:])) for rows in by_path.values() if len(rows) > 1}


class _FileColumns:
    """Columns of rows that have a path, collected from a scan. `roots`: gets each root once."""

    def __init__(self, roots: list[str | None]) -> None:
        self._roots = roots
        self._number: dict[str | None, int] = {}
        self._parts: dict[str, list[Any]] = defaultdict(list)

    def add(self, part: dict[str, NDArray[Any]]) -> None:
        import pyarrow as pa

        chosen = np.array([path is not None for path in part["path"]], np.bool_)
        values = {name: column[chosen].tolist() for name, column in part.items()}
        self._parts["without path"].append(pa.array(part["id"][~chosen].tolist(), pa.large_string()))
        for name in ("id", "path"):
            self._parts[name].append(pa.array(values[name], pa.large_string()))
        for name, default in (("size", 0), ("mtime_ns", 0), ("frames", 1)):
            self._parts[name].append(np.array([value or default for value in values[name]], np.int64))
        self._parts["root"].append(np.array([self._number_of(root) for root in values["root"]], np.int64))

    def _number_of(self, root: str | None) -> int:
        if root not in self._number:
            self._number[root] = len(self._roots)
            self._roots.append(root)
        return self._number[root]

    def texts(self, name: str) -> "pa.LargeStringArray":
        import pyarrow as pa

        parts = self._parts.pop(name, None) or [pa.array([], pa.large_string())]
        return pa.concat_arrays(parts)

    def numbers(self, name: str, kind: type[np.integer[Any]]) -> NDArray[Any]:
        parts = self._parts.pop(name, None) or [np.empty(0, np.int64)]
        return np.concatenate(parts).astype(kind)


def _contains(
    texts: "pa.LargeStringArray", sorted_hashes: tuple[NDArray[np.int64], NDArray[np.int64]], text: str
) -> bool:
    hashes, rows = sorted_hashes
    start = int(np.searchsorted(hashes, hash(text)))
    return any(texts[row].as_py() == text for row in rows[start : _end(hashes, start)].tolist())


def _sorted_hashes(texts: "pa.LargeStringArray") -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The hashes of texts, ascending, and their rows."""
    hashes = np.empty(len(texts), np.int64)
    for start in range(0, len(texts), _BLOCK):
        part = texts[start : start + _BLOCK].to_pylist()
        hashes[start : start + len(part)] = np.fromiter(map(hash, part), np.int64, len(part))
    rows = np.argsort(hashes, kind="stable")
    return hashes[rows], rows


def _end(hashes: NDArray[np.int64], start: int) -> int:
    """The end of the run of equal hashes from `start` on."""
    return int(np.searchsorted(hashes, hashes[start], side="right")) if start < len(hashes) else start


def _taken(texts: "pa.LargeStringArray", rows: NDArray[np.int64]) -> list[str]:
    taken: list[str] = texts.take(rows).to_pylist()
    return taken
