"""The index of a collection whose rows are in shards on other machines: asks all of them, and merges what they answer.

All shards answer for one version, in which each row is in one shard, so scores and ids decide the order as in a single
index: hits of equal score come by id. Each shard returns its k best with their metadata.
"""

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadQuery, LookalikeError
from lookalike.store.serving import ALL, Filter, IndexQuery, InProcessIndex, ListQuery, pair_scores
from lookalike.types import Hit, Metadata, Scalar

T = TypeVar("T")
MAX_SAMPLE = 4096  # vectors that random pairs are made of: 4 MB, where 200,000 pairs would be 400


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """What a router keeps of a shard's version: its rows, the columns of its metadata, and ids of damaged rows."""

    rows: int
    columns: tuple[str, ...]
    damaged: tuple[str, ...] = ()

    @classmethod
    def of(cls, index: InProcessIndex) -> "ShardFacts":
        return cls(len(index), index.vector_index.column_names, tuple(index.damaged_ids()))


class ShardCalls(Protocol):
    """How the shards are reached. Raises ShardUnavailable."""

    def call(self, version: int, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call a method of the index of this version in each shard, each with arguments of its own."""
        ...


class ShardedIndex:
    """See `ServingIndex`. `facts`: of each shard, in order."""

    remote = True
    nbytes = 0

    def __init__(self, calls: ShardCalls, version: int, facts: Sequence[ShardFacts]) -> None:
        self._calls, self.version, self._facts = calls, version, facts
        self._columns = tuple(dict.fromkeys(name for shard in facts for name in shard.columns))
        self._same_columns = all(shard.columns == self._columns for shard in facts if shard.rows)

    def __len__(self) -> int:
        return sum(shard.rows for shard in self._facts)

    def _all(self, method: str, *arguments: Any) -> list[Any]:
        return self._calls.call(self.version, method, [arguments] * len(self._facts))

    def filter(self, where: str) -> Filter:
        return Filter(where)  # the shards check it

    def search(self, queries: Sequence[IndexQuery]) -> "list[list[Hit] | LookalikeError]":
        return self.vectors_and_hits((), queries)[1]

    def vectors(self, ids: Sequence[str]) -> list[NDArray[np.float32] | None]:
        return self.vectors_and_hits(ids, ())[0]

    def vectors_and_hits(
        self, ids: Sequence[str], queries: Sequence[IndexQuery]
    ) -> "tuple[list[NDArray[np.float32] | None], list[list[Hit] | LookalikeError]]":
        shards = self._all("vectors_and_hits", list(ids), list(queries))
        vectors = _first_known([shard[0] for shard in shards])
        return vectors, [self._merged(query, [hits[n] for _, hits in shards]) for n, query in enumerate(queries)]

    def _merged(
        self, query: IndexQuery, answers: "Sequence[list[Hit] | LookalikeError]"
    ) -> "list[Hit] | LookalikeError":
        hits: list[Hit] = []
        for answer in answers:
            if isinstance(answer, LookalikeError):
                return answer
            hits += answer
        hits.sort(key=lambda hit: (-hit.score, hit.id))
        best = hits[: query.k]
        return best if self._same_columns else [Hit(hit.id, hit.score, self._all_columns(hit.metadata)) for hit in best]

    def _all_columns(self, metadata: Metadata) -> dict[str, Scalar]:
        """The metadata with None where the rows of its shard are older than a column, as in a single index."""
        return {name: metadata.get(name) for name in self._columns}

    def rows(self, ids: Sequence[str]) -> list[Metadata | None]:
        rows: list[Metadata | None] = _first_known(self._all("rows", list(ids)))
        return [None if row is None else self._all_columns(row) for row in rows]

    def contained(self, ids: Sequence[str]) -> list[bool]:
        return [any(answers) for answers in zip(*self._all("contained", list(ids)), strict=True)]

    def page(self, listing: ListQuery, offset: int, k: int) -> tuple[list[Hit], int]:
        if listing.sort:
            raise BadQuery("images on several machines are listed by id or at random; leave out `sort`")
        if listing.seed is not None:
            return self._shuffled_page(listing, listing.seed, offset, k)
        pages = self._all("page_ids", listing, 0, offset + k)
        ids = list(islice(heapq.merge(*(ids for ids, _ in pages)), offset, offset + k))
        rows = self.rows(ids)
        hits = [Hit(image_id, 0.0, row or {}) for image_id, row in zip(ids, rows, strict=True)]
        return hits, sum(count for _, count in pages)

    def _shuffled_page(self, listing: ListQuery, seed: int, offset: int, k: int) -> tuple[list[Hit], int]:
        """A page of a random order: every shard shuffles its own images, and a shuffled list says whose turn it is."""
        counts = [count for _, count in self._all("page_ids", listing, 0, 0)]
        turns = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
        before, shown = turns[:offset], turns[offset : offset + k]
        spans = [(int((before == n).sum()), int((shown == n).sum())) for n in range(len(counts))]
        pages = self._calls.call(self.version, "page", [(listing, *span) for span in spans])
        own = [iter(hits) for hits, _ in pages]
        hits = [next(own[n]) for n in shown.tolist()]
        return [Hit(hit.id, 0.0, self._all_columns(hit.metadata)) for hit in hits], len(turns)

    def counts(self, name: str, listing: ListQuery = ALL, prefix: int = 0) -> "Counter[Scalar]":
        return sum(self._all("counts", name, listing, prefix), Counter())

    def folders(self, below: str, listing: ListQuery = ALL) -> "Counter[str]":
        return sum(self._all("folders", below, listing), Counter())

    def present(self, name: str) -> tuple[list[str], list[Scalar]]:
        ids, values = zip(*self._all("present", name), strict=True)
        return [one for part in ids for one in part], [one for part in values for one in part]

    def count_true(self, name: str) -> int:
        return int(sum(self._all("count_true", name)))

    def pair_scores(self, count: int) -> NDArray[np.float32]:
        """The scores of random pairs of some thousand images, of all shards by their share of the rows."""
        total = max(len(self), 1)
        shares = [(-(-MAX_SAMPLE * shard.rows // total),) for shard in self._facts]
        samples = [sample for sample in self._calls.call(self.version, "sample", shares) if len(sample)]
        if not samples:
            return np.zeros(0, np.float32)
        vectors = np.concatenate(samples)
        return pair_scores(lambda positions: vectors[positions], np.arange(len(vectors)), count)

    def damaged_ids(self) -> list[str]:
        return [image_id for shard in self._facts for image_id in shard.damaged]


def _first_known(answers: Sequence[Sequence[T | None]]) -> list[T | None]:
    """For each id what the shard that has it answers."""
    return [next((one for one in of_id if one is not None), None) for of_id in zip(*answers, strict=True)]
