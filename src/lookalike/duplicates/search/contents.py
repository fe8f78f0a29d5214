"""Files that hold the same bytes are one content: compared once, whatever the number of their copies."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.duplicates.search.collection_arrays import Picture, Rows


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of one collection, or of one and its masters.

    Rows of the masters are numbered after those of the first: `offset` is where they begin. `content` (m,) of each of
    the `rows` (m,) that stand for a file; `own` and `masters`: for each content, a row that stands for it there, or -1.
    """

    sides: tuple[Rows, ...]
    offset: int
    rows: NDArray[np.int64]
    content: NDArray[np.int64]
    own: NDArray[np.int64]
    masters: NDArray[np.int64]

    @classmethod
    def of(cls, own: Rows, masters: Rows | None = None) -> "Contents":
        sides = (own,) if masters is None else (own, masters)
        offset = len(own.ids)
        rows = np.concatenate([side.firsts + offset * n for n, side in enumerate(sides)])
        digests = np.concatenate([side.digests[side.firsts] for side in sides])
        content = _numbered(digests)
        count = int(content.max()) + 1 if len(content) else 0
        stands = [np.full(count, -1, np.int64) for _ in range(2)]
        for n in range(len(sides)):
            mine = (rows >= offset) == bool(n)
            stands[n][content[mine][::-1]] = rows[mine][::-1]  # the first of each comes last, and stays
        return cls(sides, offset, rows, content, stands[0], stands[1])

    def side(self, row: int) -> tuple[Rows, int]:
        """The collection of a row, and its place there."""
        return (
            (self.sides[1], row - self.offset) if row >= self.offset and len(self.sides) > 1 else (self.sides[0], row)
        )

    def shared(self) -> NDArray[np.int64]:
        """Contents that several files have; with masters, those that a file of either has."""
        if len(self.sides) > 1:
            return np.flatnonzero((self.own >= 0) & (self.masters >= 0))
        return np.flatnonzero(np.bincount(self.content, minlength=len(self.own)) > 1)

    def files(self, contents: NDArray[np.int64], references: Sequence[str]) -> list[tuple[int, int, Picture]]:
        """Every file of these contents, as (content, row, facts)."""
        chosen = np.flatnonzero(np.isin(self.content, contents))
        owner = dict(zip(self.rows[chosen].tolist(), self.content[chosen].tolist(), strict=True))
        found: list[tuple[int, int, Picture]] = []
        for n, side in enumerate(self.sides):
            rows = [row for row in owner if (row >= self.offset) == bool(n) or len(self.sides) == 1]
            facts = side.pictures([row - self.offset * n for row in rows], references)
            found += [(owner[row], row, facts[row - self.offset * n]) for row in rows if row - self.offset * n in facts]
        return found

    def numbers(self, digests: Sequence[str]) -> dict[str, int]:
        """The contents of these SHA-256, those that are there."""
        known = np.concatenate([side.digests[side.firsts] for side in self.sides])
        wanted = np.array([bytes.fromhex(digest) for digest in digests], "S32")
        found = np.flatnonzero(np.isin(known, wanted))
        # NumPy drops the zero bytes at the end.
        return {bytes(known[at]).ljust(32, b"\0").hex(): int(self.content[at]) for at in found}

    def vector_of(self, content: int) -> NDArray[np.float32]:
        """(dim,) of a row that stands for the content."""
        own = int(self.own[content])
        return self.vector(own if own >= 0 else int(self.masters[content]))

    def vector(self, row: int) -> NDArray[np.float32]:
        """(dim,) of length 1 but for rounding."""
        side, at = self.side(row)
        return np.asarray(side.vectors[at], np.float32)

    def all_frames(self, row: int) -> list[NDArray[np.float32]]:
        """The vectors of every indexed frame of the file, the first included."""
        side, at = self.side(row)
        return [np.asarray(side.vectors[n], np.float32) for n in (at, *side.later.get(at, ()))]


def _numbered(digests: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """Equal digests get equal numbers; an empty one is like no other."""
    _, numbers = np.unique(digests, return_inverse=True)
    numbers = numbers.astype(np.int64)
    unknown = np.flatnonzero(digests == b"")
    numbers[unknown] = len(digests) + np.arange(len(unknown))
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)
