"""The verbs of a Collection, asked of a server."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from lookalike.client.wire import File, Wire, image_path
from lookalike.errors import BadQuery, UnknownId
from lookalike.search.query import ImageLike, Query, as_query, asked_id, name_of
from lookalike.search.results import Results
from lookalike.types import AddReport, Failure, Hit, Metadata

DEFAULT_K = 12
ADDED_AT_ONCE = 8
SECONDS = 60.0


def connect(url: str, *, token: str | None = None, seconds: float = SECONDS) -> "RemoteCollection":
    """The collection that a server at `url` holds (`lookalike serve`). `seconds`: to wait for an answer.

    Raises CollectionError when nobody answers.
    """
    return RemoteCollection(Wire(url, token, seconds))


class RemoteCollection:
    """search, search_many, search_by_id, add, remove, get, thumbnails, failures, len and in, as a Collection has them.

    Queries are paths, bytes, arrays, PIL images or "id:ID"; their files are read here and sent.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._wire.get("/v1/collection")

    @property
    def uri(self) -> str:
        return self._wire.url

    # -- finding

    def search(
        self,
        query: Query | ImageLike | Sequence[ImageLike],
        k: int = DEFAULT_K,
        *,
        minus: Sequence[ImageLike] = (),
        region: tuple[float, float, float, float] | None = None,
        where: str | None = None,
        min_score: float | None = None,
    ) -> Results:
        """The k images most like one picture, or like several combined; see `Collection.search`."""
        asked = as_query(query)
        if minus or region:
            asked = Query(asked.images, tuple(asked.minus) + tuple(minus), (region,) if region else asked.regions)
        files = [*_files("image", asked.images), *_files("minus_image", asked.minus)]
        fields = {
            "like": [f"id:{i}" for i in map(asked_id, asked.images) if i is not None],
            "minus": [f"id:{i}" for i in map(asked_id, asked.minus) if i is not None],
            "region": _regions(asked),
        }
        found = self._wire.form("/v1/search", files, fields, k=k, where=where, min_score=min_score)
        return Results(tuple(map(name_of, asked.images)), _hits(found), (), self.thumbnails)

    def search_many(
        self,
        queries: Sequence[Query | ImageLike],
        k: int = DEFAULT_K,
        *,
        where: str | None = None,
        min_score: float | None = None,
    ) -> list[Results]:
        """`search` for each of several queries."""
        return [self.search(query, k, where=where, min_score=min_score) for query in queries]

    def search_by_id(self, image_id: str, k: int = DEFAULT_K, *, where: str | None = None) -> Results:
        """The k images most like one of the collection, which is left out itself. Raises UnknownId."""
        found = self._wire.get(image_path(image_id, "/similar"), k=k, where=where)
        return Results((f"id:{image_id}",), _hits(found), (), self.thumbnails)

    # -- taking in

    def add(
        self,
        images: Sequence[ImageLike],
        ids: Sequence[str] | None = None,
        metadata: Sequence[Metadata] | None = None,
    ) -> AddReport:
        """Send pictures under ids of your own; an id that exists is replaced. Those that cannot be used are listed."""
        for name, given in (("ids", ids), ("metadata", metadata)):
            if given is not None and len(given) != len(images):
                raise BadQuery(f"{len(images)} images and {len(given)} {name} were given; give one for each image")
        report = AddReport()
        for n in range(0, len(images), ADDED_AT_ONCE):
            part = slice(n, n + ADDED_AT_ONCE)
            self._add(images[part], ids[part] if ids else None, metadata[part] if metadata else None, report)
        return report

    def _add(
        self,
        images: Sequence[ImageLike],
        ids: Sequence[str] | None,
        metadata: Sequence[Metadata] | None,
        report: AddReport,
    ) -> None:
        fields = {"id": list(ids or []), "metadata": [json.dumps(dict(one)) for one in metadata or []]}
        from lookalike.errors import UnreadableImage

        try:
            told = self._wire.form("/v1/images", _files("image", images), fields)
        except UnreadableImage as error:  # not one of them could be used
            report.failed += [Failure(name_of(image), str(error)) for image in images]
            return
        report.added += told["added"]
        report.changed += told["changed"]
        report.failed += [Failure(one["name"], one["reason"]) for one in told["failed"]]

    def remove(self, ids: Iterable[str]) -> int:
        """Take images out; unknown ids are ignored. Returns how many went."""
        return sum(self._remove(image_id) for image_id in ids)

    def _remove(self, image_id: str) -> int:
        try:
            return int(self._wire.ask("DELETE", image_path(image_id))["removed"])
        except UnknownId:
            return 0

    # -- looking

    def get(self, ids: Sequence[str]) -> list[Mapping[str, Any] | None]:
        """What is known of images, None where there is none."""
        return [self._one(image_id) for image_id in ids]

    def _one(self, image_id: str) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = self._wire.get(image_path(image_id))["metadata"]
        except UnknownId:
            return None
        return found

    def thumbnails(self, ids: Sequence[str]) -> list[bytes | None]:
        """JPEG thumbnails, None where there is none."""
        return [self._thumbnail(image_id) for image_id in ids]

    def _thumbnail(self, image_id: str) -> bytes | None:
        try:
            return self._wire.data("GET", image_path(image_id, "/thumbnail"))
        except UnknownId:
            return None

    def failures(self) -> list[Failure]:
        """Files that could not be used, with the reason of each."""
        told: list[Failure] = []
        while True:
            part = self._wire.get("/v1/failures", k=1000, offset=len(told))
            told += [Failure(one["file"], one["reason"]) for one in part["failures"]]
            if not part["failures"] or len(told) >= part["total"]:
                return told

    def __len__(self) -> int:
        return int(self._wire.get("/v1/collection")["images"])

    def __contains__(self, image_id: str) -> bool:
        return self._one(image_id) is not None

    def __repr__(self) -> str:
        return f"<RemoteCollection {self.uri}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connection go."""
        self._wire.close()


def _hits(found: Mapping[str, Any]) -> tuple[Hit, ...]:
    return tuple(Hit(one["id"], one["score"], one["metadata"]) for one in found["hits"])


def _regions(asked: Query) -> list[str]:
    """Regions in the server's order: uploaded pictures first, then those of the collection."""
    every: list[Any] = [*asked.regions, *[None] * (len(asked.images) - len(asked.regions))]
    pairs = list(zip(asked.images, every, strict=True))
    ordered = sorted(pairs, key=lambda pair: asked_id(pair[0]) is not None)
    told = [region for _, region in ordered]
    while told and told[-1] is None:
        told.pop()
    return [",".join(f"{v:g}" for v in (region or (0, 0, 1, 1))) for region in told]


def _files(field: str, images: Sequence[ImageLike]) -> list[File]:
    return [(field, Path(name_of(i)).name or "picture", _bytes(i)) for i in images if asked_id(i) is None]


def _bytes(image: ImageLike) -> bytes:
    """A picture's file as it is; an array or a PIL image as PNG."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | Path):
        from lookalike.image import read, to_text

        return read(to_text(Path(image).expanduser()))
    from PIL import Image

    from lookalike.image import to_rgb

    buffer = io.BytesIO()
    Image.fromarray(np.asarray(to_rgb(image))).save(buffer, "PNG")
    return buffer.getvalue()
