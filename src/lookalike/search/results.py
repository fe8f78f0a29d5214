"""The hits of a query: a sequence that a notebook shows as a row of thumbnails."""

import base64
import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from lookalike.types import RGB, Hit

Thumbnails = Callable[[Sequence[str]], list[bytes | None]]

_ROW = "display:flex;flex-wrap:wrap;gap:8px;font:12px system-ui,sans-serif"
_CELL = "margin:0;width:132px;overflow-wrap:anywhere"
_IMAGE = "width:132px;height:132px;object-fit:contain;background:#8881;display:block"


def _no_thumbnails(ids: Sequence[str]) -> list[bytes | None]:
    return [None] * len(ids)


@dataclass(frozen=True, slots=True, repr=False)
class Results(Sequence[Hit]):
    """The hits of one query, best first.

    `query`: the names of the query images. `pictures`: these images as RGB, for figures. `thumbnails`: returns the JPEG
    thumbnails of ids.
    """

    query: tuple[str, ...]
    hits: tuple[Hit, ...]
    pictures: tuple[RGB, ...] = ()
    thumbnails: Thumbnails = _no_thumbnails

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

    def __repr__(self) -> str:
        lines = [f"{rank:>4}  {hit.score:.3f}  {hit.id}" for rank, hit in enumerate(self.hits, 1)]
        return "\n".join([f"{len(self)} hits for {', '.join(self.query)}", *lines])

    def _repr_html_(self) -> str:
        cells = [
            _cell(rank, hit, jpeg)
            for rank, (hit, jpeg) in enumerate(
                zip(self.hits, self.thumbnails([h.id for h in self.hits]), strict=True), 1
            )
        ]
        return f'<div style="{_ROW}">{"".join(cells)}</div>'


def _cell(rank: int, hit: Hit, jpeg: bytes | None) -> str:
    source = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" if jpeg else ""
    name = html.escape(hit.id, quote=True)
    image = f'<img alt="{name}" src="{source}" style="{_IMAGE}">' if source else f'<div style="{_IMAGE}"></div>'
    return f'<figure style="{_CELL}">{image}<figcaption>{rank}. <b>{hit.score:.3f}</b> {name}</figcaption></figure>'
