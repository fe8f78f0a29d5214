"""What a server asks of an index: searches, rows, lists and counts of one version of a collection.

`InProcessIndex` answers from the memory and the mapped files of this process. Another implementation may ask the
machines of a cluster (engine/sharded_index.py): nothing here speaks of positions, and calls take many queries or ids.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import LookalikeError
from lookalike.store.segment import EXACT
from lookalike.store.vector_index import SearchRequest, VectorIndex
from lookalike.store.vector_storage import Mask, Positions
from lookalike.types import Hit, Metadata, Scalar, Vectors

_PAIR_BLOCK = 8192  # pairs scored at once: 20 MB at 320 numbers


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition, and in the process of the index which of its rows pass. A mask is not sent to other processes."""

    where: str
    mask: Mask | None = field(default=None, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return Filter, (self.where,)


@dataclass(frozen=True, slots=True)
class IndexQuery:
    """One search: see `SearchRequest`; the rows that pass are those of a filter."""

    vector: NDArray[np.float32]
    k: int
    passing: Filter | None = None
    exclude: frozenset[str] = frozenset()
    min_score: float | None = None
    recall: float = EXACT


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which images to list: those that pass a filter and whose id contains a text, by id or shuffled by `seed`.

    `sort`: by a column instead, `descending` or not; images without a value are last.
    """

    passing: Filter | None = None
    contains: str = ""
    seed: int | None = None
    sort: str = ""
    descending: bool = False


ALL = ListQuery()


class ServingIndex(Protocol):
    """One version of a collection, as a server needs it. Raises LookalikeError where other machines do not answer.

    `remote`: whether calls wait for other machines; then they belong in a thread, and many ids or queries in one call.
    """

    @property
    def version(self) -> int: ...

    @property
    def remote(self) -> bool: ...

    @property
    def nbytes(self) -> int:
        """Private memory of this process."""
        ...

    def __len__(self) -> int: ...

    def filter(self, where: str) -> Filter:
        """Prepare a condition, for the searches of this version. Raises BadFilter."""
        ...

    def search(self, queries: Sequence[IndexQuery]) -> "list[list[Hit] | LookalikeError]":
        """The hits of each query, best first, ties by id; or its error, such as a filter that divides by zero."""
        ...

    def vectors(self, ids: Sequence[str]) -> list[NDArray[np.float32] | None]:
        """The vector (dim,) of each image; None for an unknown id."""
        ...

    def vectors_and_hits(
        self, ids: Sequence[str], queries: Sequence[IndexQuery]
    ) -> "tuple[list[NDArray[np.float32] | None], list[list[Hit] | LookalikeError]]":
        """`vectors` and `search` in one call."""
        ...

    def rows(self, ids: Sequence[str]) -> list[Metadata | None]:
        """The metadata of each image; None for an unknown id."""
        ...

    def contained(self, ids: Sequence[str]) -> list[bool]:
        """Whether each id is that of an image."""
        ...

    def page(self, listing: ListQuery, offset: int, k: int) -> tuple[list[Hit], int]:
        """The images of a list from `offset` on, at most `k`, and how many it has."""
        ...

    def counts(self, name: str, listing: ListQuery = ALL, prefix: int = 0) -> "Counter[Scalar]":
        """How often each value of a column occurs in a list; None is not counted. `prefix`: as in `VectorIndex`."""
        ...

    def folders(self, below: str, listing: ListQuery = ALL) -> "Counter[str]":
        """How many images of a list lie in each folder right below one: see `VectorIndex.folders`."""
        ...

    def present(self, name: str) -> tuple[list[str], list[Scalar]]:
        """Ids and values of a column, of the images that have a value."""
        ...

    def count_true(self, name: str) -> int:
        """How many images have the value True in a column."""
        ...

    def pair_scores(self, count: int) -> NDArray[np.float32]:
        """The scores of up to `count` random pairs of images."""
        ...

    def damaged_ids(self) -> list[str]:
        """Ids of rows that are left out because their vectors hold no numbers."""
        ...


class InProcessIndex:
    """A vector index in this process. `mask_of`: which of its rows meet a condition."""

    remote = False

    def __init__(self, index: VectorIndex, mask_of: Callable[[VectorIndex, str], Mask]) -> None:
        self.vector_index, self._mask_of = index, mask_of

    @property
    def version(self) -> int:
        return self.vector_index.version

    @property
    def nbytes(self) -> int:
        return self.vector_index.nbytes

    def __len__(self) -> int:
        return len(self.vector_index)

    def __bool__(self) -> bool:
        return True

    def filter(self, where: str) -> Filter:
        index = self.vector_index
        return Filter(where, index.cached_mask(where, lambda: self._mask_of(index, where)))

    def search(self, queries: Sequence[IndexQuery]) -> "list[list[Hit] | LookalikeError]":
        answers: list[list[Hit] | LookalikeError] = [[] for _ in queries]
        requests: dict[int, SearchRequest] = {}
        for n, query in enumerate(queries):
            try:
                mask = self._mask(query.passing)
            except LookalikeError as error:
                answers[n] = error
                continue
            requests[n] = SearchRequest(query.vector, query.k, mask, query.exclude, query.min_score, query.recall)
        for n, hits in zip(requests, self.vector_index.search(list(requests.values())), strict=True):
            answers[n] = hits
        return answers

    def _mask(self, passing: Filter | None) -> Mask | None:
        if passing is None or passing.mask is not None:
            return None if passing is None else passing.mask
        return self.filter(passing.where).mask

    def vectors(self, ids: Sequence[str]) -> list[NDArray[np.float32] | None]:
        return [self.vector_index.vector(image_id) for image_id in ids]

    def vectors_and_hits(
        self, ids: Sequence[str], queries: Sequence[IndexQuery]
    ) -> "tuple[list[NDArray[np.float32] | None], list[list[Hit] | LookalikeError]]":
        return self.vectors(ids), self.search(queries)

    def rows(self, ids: Sequence[str]) -> list[Metadata | None]:
        return [self.vector_index.metadata(image_id) for image_id in ids]

    def contained(self, ids: Sequence[str]) -> list[bool]:
        return [image_id in self.vector_index for image_id in ids]

    def page(self, listing: ListQuery, offset: int, k: int) -> tuple[list[Hit], int]:
        positions = self.listed(listing)
        return [self.vector_index.hit(int(at), 0.0) for at in positions[offset : offset + k]], len(positions)

    def page_ids(self, listing: ListQuery, offset: int, k: int) -> tuple[list[str], int]:
        """The ids of a page, and how many images the list has."""
        positions = self.listed(listing)
        return self.vector_index.ids_at(positions[offset : offset + k]).tolist(), len(positions)

    def listed(self, listing: ListQuery) -> Positions:
        """The positions of all images of a list, in its order."""
        index, mask = self.vector_index, self._mask(listing.passing)
        order = index.sorted_by(listing.sort, descending=listing.descending) if listing.sort else index.order
        positions = order if mask is None else order[mask[order]]
        if listing.contains:
            positions = positions[index.containing(listing.contains)[positions]]
        return positions if listing.seed is None else np.random.default_rng(listing.seed).permutation(positions)

    def counts(self, name: str, listing: ListQuery = ALL, prefix: int = 0) -> "Counter[Scalar]":
        mask = self._mask(listing.passing)
        if listing.contains:
            containing = self.vector_index.containing(listing.contains)
            mask = containing if mask is None else mask & containing
        return self.vector_index.counts(name, mask, prefix)

    def folders(self, below: str, listing: ListQuery = ALL) -> "Counter[str]":
        return self.vector_index.folders(below, self.listed(listing))

    def present(self, name: str) -> tuple[list[str], list[Scalar]]:
        return self.vector_index.present(name)

    def count_true(self, name: str) -> int:
        return self.vector_index.count_true(name)

    def pair_scores(self, count: int) -> NDArray[np.float32]:
        return pair_scores(self.vector_index.vectors_at, self.vector_index.alive, count)

    def sample(self, count: int) -> Vectors:
        """The vectors (n, dim) of up to `count` random images, the same ones at each call."""
        alive = self.vector_index.alive
        if not len(alive):
            return np.empty((0, 0), np.float32)
        chosen = np.random.default_rng(0).permutation(len(alive))[:count]
        return self.vector_index.vectors_at(alive[np.sort(chosen)])

    def damaged_ids(self) -> list[str]:
        return self.vector_index.damaged_ids()


def pair_scores(vectors_at: Callable[[Positions], Vectors], positions: Positions, count: int) -> NDArray[np.float32]:
    """The scores of up to `count` random pairs of the rows at these positions, the same ones at each call."""
    if len(positions) < 2:
        return np.zeros(0, np.float32)
    rng = np.random.default_rng(0)
    count = min(count, len(positions) * (len(positions) - 1) // 2)
    a, b = rng.choice(positions, count), rng.choice(positions, count)
    apart = a != b
    a, b = a[apart], b[apart]
    blocks = [slice(start, start + _PAIR_BLOCK) for start in range(0, len(a), _PAIR_BLOCK)]
    scores = [(vectors_at(a[block]) * vectors_at(b[block])).sum(axis=1) for block in blocks]
    return np.concatenate([np.zeros(0, np.float32), *scores])
