"""The hits of a query: a sequence that a notebook shows as a row of thumbnails."""

import base64
import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from lookalike.text import percent
from lookalike.types import RGB, Hit

Thumbnails = Callable[[Sequence[str]], list[bytes | None]]

_ROW = "display:flex;flex-wrap:wrap;gap:8px;font:12px system-ui,sans-serif"
_CELL = "margin:0;width:132px;overflow-wrap:anywhere"
_IMAGE = "width:132px;height:132px;object-fit:contain;background:#8881;display:block"


def _no_thumbnails(ids: Sequence[str]) -> list[bytes | None]:
    return [None] * len(ids)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Results(Sequence[Hit]):
    """The hits of one query, best first; a sequence that equals any sequence of the same hits.

    `query`: the names of the query images. `pictures`: these images as RGB, for figures, if they were kept.
    `thumbnails`: returns the JPEG thumbnails of ids, from the open collection; a pickle does not contain it. `vector`:
    the query's vector (dim,), None from a server. `percentiles`: for queries with words, by id, how many of a hundred
    images of the collection have a lower score; the scores themselves are low for the best of them. `model`: the added
    model whose vectors were searched, "" for the collection's own.
    """

    query: tuple[str, ...]
    hits: tuple[Hit, ...]
    pictures: tuple[RGB, ...] = ()
    thumbnails: Thumbnails = _no_thumbnails
    vector: NDArray[np.float32] | None = None
    percentiles: Mapping[str, float] = field(default_factory=dict)
    model: str = ""

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, index: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Results):
            return self.hits == other.hits
        return self.hits == tuple(other) if isinstance(other, list | tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.hits)

    def __reduce__(self) -> tuple[Any, ...]:
        # `thumbnails` is a method of an open collection, which cannot leave its process.
        return _without_thumbnails, (
            self.query, self.hits, self.pictures, self.vector, self.percentiles, self.model,
        )  # fmt: skip

    def __copy__(self) -> Self:
        return replace(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = {name: deepcopy(getattr(self, name), memo) for name in ("hits", "pictures", "vector", "percentiles")}
        return replace(self, **copied)  # the collection is shared, not copied

    def score_text(self, hit: Hit) -> str:
        """Return a hit's score, or for a query with words its percentile, as results show it."""
        percentile = self.percentiles.get(hit.id)
        return f"{hit.score:.3f}" if percentile is None else percent(percentile / 100, 2)

    def __repr__(self) -> str:
        lines = [f"{rank:>4}  {self.score_text(hit)}  {hit.id}" for rank, hit in enumerate(self.hits, 1)]
        return "\n".join([f"{len(self)} hits for {', '.join(self.query)}", *lines])

    def _repr_html_(self) -> str:
        cells = [
            _cell(rank, hit, jpeg, self.score_text(hit))
            for rank, (hit, jpeg) in enumerate(
                zip(self.hits, self.thumbnails([h.id for h in self.hits]), strict=True), 1
            )
        ]
        return f'<div style="{_ROW}">{"".join(cells)}</div>'


def _without_thumbnails(
    query: tuple[str, ...],
    hits: tuple[Hit, ...],
    pictures: tuple[RGB, ...],
    vector: NDArray[np.float32] | None,
    percentiles: Mapping[str, float],
    model: str,
) -> Results:
    return Results(query, hits, pictures, vector=vector, percentiles=percentiles, model=model)


def _cell(rank: int, hit: Hit, jpeg: bytes | None, score: str) -> str:
    source = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" if jpeg else ""
    name = html.escape(hit.id, quote=True)
    image = f'<img alt="{name}" src="{source}" style="{_IMAGE}">' if source else f'<div style="{_IMAGE}"></div>'
    return f'<figure style="{_CELL}">{image}<figcaption>{rank}. <b>{score}</b> {name}</figcaption></figure>'
