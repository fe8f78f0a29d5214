"""Distinct file contents: files with the same bytes are one content, which is compared once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.duplicates.search.collection_arrays import CollectionArrays, FileFacts


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of one collection, or of one and its reference collection.

    `offset`: where the rows of the reference collection begin, after those of the first. `content` (m,): the content of
    each of the `rows` (m,), one row a file. `own_rows`, `reference_rows`: for each content a row of it in that
    collection, or -1.
    """

    sides: tuple[CollectionArrays, ...]
    offset: int
    rows: NDArray[np.int64]
    content: NDArray[np.int64]
    own_rows: NDArray[np.int64]
    reference_rows: NDArray[np.int64]

    @classmethod
    def of(cls, own: CollectionArrays, reference: CollectionArrays | None = None) -> "Contents":
        sides = (own,) if reference is None else (own, reference)
        offset = len(own.ids)
        rows = np.concatenate([side.first_rows + offset * n for n, side in enumerate(sides)])
        digests = np.concatenate([side.digests[side.first_rows] for side in sides])
        content = _numbered(digests)
        count = int(content.max()) + 1 if len(content) else 0
        row_of = [np.full(count, -1, np.int64) for _ in range(2)]
        for n in range(len(sides)):
            in_side = (rows >= offset) == bool(n)
            row_of[n][content[in_side][::-1]] = rows[in_side][::-1]  # reversed, so that the first row is assigned last
        return cls(sides, offset, rows, content, row_of[0], row_of[1])

    def side(self, row: int) -> tuple[CollectionArrays, int]:
        """Return the collection of a row, and its row there."""
        return (
            (self.sides[1], row - self.offset) if row >= self.offset and len(self.sides) > 1 else (self.sides[0], row)
        )

    def shared(self) -> NDArray[np.int64]:
        """Return contents of several files; with a reference collection, those that both collections have."""
        if len(self.sides) > 1:
            return np.flatnonzero((self.own_rows >= 0) & (self.reference_rows >= 0))
        return np.flatnonzero(np.bincount(self.content, minlength=len(self.own_rows)) > 1)

    def files(self, contents: NDArray[np.int64], references: Sequence[str]) -> list[tuple[int, int, FileFacts]]:
        """Return every file of these contents, as (content, row, facts)."""
        selected = np.flatnonzero(np.isin(self.content, contents))
        content_of = dict(zip(self.rows[selected].tolist(), self.content[selected].tolist(), strict=True))
        result: list[tuple[int, int, FileFacts]] = []
        for n, side in enumerate(self.sides):
            rows = [row for row in content_of if (row >= self.offset) == bool(n) or len(self.sides) == 1]
            facts = side.file_facts([row - self.offset * n for row in rows], references)
            result += [
                (content_of[row], row, facts[row - self.offset * n]) for row in rows if row - self.offset * n in facts
            ]
        return result

    def by_digest(self, digests: Sequence[str]) -> dict[str, int]:
        """Return the contents with these SHA-256, by SHA-256; unknown ones are left out."""
        known = np.concatenate([side.digests[side.first_rows] for side in self.sides])
        requested = np.array([bytes.fromhex(digest) for digest in digests], "S32")
        matches = np.flatnonzero(np.isin(known, requested))
        # NumPy drops the zero bytes at the end.
        return {bytes(known[i]).ljust(32, b"\0").hex(): int(self.content[i]) for i in matches}

    def vector_of(self, content: int) -> NDArray[np.float32]:
        """Return the vector (dim,) of a row of the content."""
        own = int(self.own_rows[content])
        return self.vector(own if own >= 0 else int(self.reference_rows[content]))

    def vector(self, row: int) -> NDArray[np.float32]:
        """Return the vector (dim,) of a row, of length 1 up to rounding."""
        side, side_row = self.side(row)
        return np.asarray(side.vectors[side_row], np.float32)

    def all_frames(self, row: int) -> list[NDArray[np.float32]]:
        """Return the vectors of all indexed frames of the file, the first included."""
        side, side_row = self.side(row)
        return [np.asarray(side.vectors[n], np.float32) for n in (side_row, *side.later_frames.get(side_row, ()))]


def _numbered(digests: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """Return numbers that are equal for equal digests; an empty digest equals no other."""
    _, numbers = np.unique(digests, return_inverse=True)
    numbers = numbers.astype(np.int64)
    unknown = np.flatnonzero(digests == b"")
    numbers[unknown] = len(digests) + np.arange(len(unknown))
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)
