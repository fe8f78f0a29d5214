"""The verbs of a Collection, asked of a server."""

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from lookalike.client.wire import File, Wire, image_path
from lookalike.errors import BadQuery, ImageError, UnknownId, nearest
from lookalike.image.convert import ImageLike, image_name
from lookalike.search.query import Query, as_query, parse_id
from lookalike.search.results import Results
from lookalike.types import AddReport, Failure, Hit, Metadata, Row, Scalar

DEFAULT_K = 12
SENT_AT_ONCE = 8  # files in a request; a server takes no more
BYTES_AT_ONCE = 32 * 2**20  # in a request of several files; twice as many are what a server takes unless told otherwise
SECONDS = 60.0


def connect(url: str, *, token: str | None = None, seconds: float = SECONDS) -> "RemoteCollection":
    """The collection that a server at `url` holds (`lookalike serve`). `seconds`: to wait for an answer.

    Raises CollectionError when nobody answers.
    """
    return RemoteCollection(Wire(url, token, seconds))


class RemoteCollection:
    """search, search_many, search_by_id, add, remove, get, thumbnails, failures, len and in, as a Collection has them.

    Queries are paths, bytes, arrays, PIL images or "id:ID"; their files are read here and sent. What a server will not
    do and a Collection does: more than 1000 images for one query, columns of paths without --show-paths.
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
        """The k images, at most 1000, most like one picture, or like several combined; see `Collection.search`."""
        asked = as_query(query)
        if minus or region:
            asked = Query(asked.images, tuple(asked.minus) + tuple(minus), (region,) if region else asked.regions)
        files, fields = self._sent(asked)
        found = self._wire.form("/v1/search", files, fields, k=k, where=where, min_score=min_score)
        return Results(tuple(map(image_name, asked.images)), _hits(found), (), self.thumbnails)

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

    def _sent(self, asked: Query) -> tuple[list[File], dict[str, list[str]]]:
        """A search's files and fields; where the files are too many for one request, each goes ahead in its own."""
        files = [*_files("image", asked.images), *_files("minus_image", asked.minus)]
        every = [*asked.regions, *[None] * (len(asked.images) - len(asked.regions))]
        pairs = list(zip(asked.images, every, strict=True))
        if len(files) <= SENT_AT_ONCE and (len(files) <= 1 or sum(len(f[2]) for f in files) <= BYTES_AT_ONCE):
            pairs.sort(key=lambda pair: parse_id(pair[0]) is not None)  # the server's order: uploaded ones first
            names = {"like": _ids(asked.images), "minus": _ids(asked.minus)}
        else:
            files, names = [], {"like": self._names(asked.images), "minus": self._names(asked.minus)}
        return files, names | {"region": _regions([region for _, region in pairs])}

    def _names(self, images: Sequence[ImageLike]) -> list[str]:
        """By what images can be asked: ids, and tokens of pictures that are sent now."""
        kept = (
            {} if parse_id(i) is not None else self._wire.form("/v1/queries", _files("image", [i]), {}) for i in images
        )
        return [told.get("query") or f"id:{parse_id(image)}" for image, told in zip(images, kept, strict=True)]

    # -- taking in

    def add(
        self,
        images: Sequence[ImageLike],
        ids: Sequence[str] | None = None,
        metadata: Sequence[Metadata] | None = None,
    ) -> AddReport:
        """Send pictures under ids of your own; an id that exists is replaced. Those that cannot be used are listed.

        Without `ids` each is called by the hash of the bytes that are sent.
        """
        for name, given in (("ids", ids), ("metadata", metadata)):
            if given is not None and len(given) != len(images):
                raise BadQuery(f"{len(images)} images and {len(given)} {name} were given; give one for each image")
        report = AddReport()
        for part in _parts(_new(images, ids, metadata, report)):
            self._add(part, report)
        return report

    def _add(self, part: Sequence["_New"], report: AddReport) -> None:
        # Files are called by their numbers: two may have the same name, and the answer tells names.
        files = [("image", str(n), new.data) for n, new in enumerate(part)]
        fields = {
            "id": [new.id for new in part if new.id is not None],
            "metadata": [new.metadata for new in part if new.metadata is not None],
        }
        try:
            told = self._wire.form("/v1/images", files, fields)
        except ImageError as error:  # not one of them could be used, or they are too much together
            if len(part) == 1:
                report.failed.append(Failure(part[0].name, str(error)))
            else:
                for new in part:
                    self._add([new], report)
            return
        report.added += told["added"]
        report.changed += told["changed"]
        report.failed += [Failure(part[int(one["name"])].name, one["reason"]) for one in told["failed"]]

    def remove(self, ids: Iterable[str]) -> int:
        """Take images out; unknown ids are ignored. Returns how many went."""
        return sum(self._remove(image_id) for image_id in ids)

    def _remove(self, image_id: str) -> int:
        try:
            return int(self._wire.ask("DELETE", image_path(image_id))["removed"])
        except UnknownId:
            return 0

    # -- looking

    def get(self, ids: Sequence[str], columns: Sequence[str] | None = None) -> list[Row | None]:
        """Stored images in the order asked, None where there is none. Thumbnails come when asked for by name."""
        return [self._row(image_id, columns) for image_id in ids]

    def _row(self, image_id: str, columns: Sequence[str] | None) -> Row | None:
        try:
            told = self._wire.get(image_path(image_id), vector=True)
        except UnknownId:
            return None
        facts: dict[str, Scalar] = told["metadata"]
        if columns is not None:
            if "thumbnail" in columns:
                facts["thumbnail"] = self._thumbnail(image_id)
            if unknown := [name for name in columns if name not in facts]:
                raise BadQuery(f"There is no column {unknown[0]!r}; {nearest(unknown[0], facts)}.")
            facts = {name: facts[name] for name in columns}
        return Row(told["id"], np.array(told["vector"], np.float32), facts)

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
        try:
            self._wire.get(image_path(image_id))
        except UnknownId:
            return False
        return True

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


@dataclass(frozen=True, slots=True)
class _New:
    """A picture to be added: what its caller calls it, its bytes, and its id and metadata as JSON, if given."""

    name: str
    data: bytes
    id: str | None
    metadata: str | None


def _new(
    images: Sequence[ImageLike], ids: Sequence[str] | None, metadata: Sequence[Metadata] | None, report: AddReport
) -> Iterator[_New]:
    """The pictures, read one by one; those that cannot be read are put into the report."""
    for n, image in enumerate(images):
        try:
            data = _bytes(image)
        except ImageError as error:
            report.failed.append(Failure(image_name(image), str(error)))
            continue
        told = json.dumps(dict(metadata[n]), default=_plain) if metadata else None
        yield _New(image_name(image), data, ids[n] if ids else None, told)


def _parts(pictures: Iterable[_New]) -> Iterator[list[_New]]:
    """As many as go into one request, in turn."""
    part: list[_New] = []
    for new in pictures:
        full = len(part) == SENT_AT_ONCE or sum(len(one.data) for one in part) + len(new.data) > BYTES_AT_ONCE
        if part and full:
            yield part
            part = []
        part.append(new)
    if part:
        yield part


def _plain(value: Any) -> Scalar:
    if isinstance(value, np.generic):
        plain: Scalar = value.item()
        return plain
    raise BadQuery(f"metadata cannot hold a {type(value).__name__}; use texts, numbers, true and false")


def _ids(images: Sequence[ImageLike]) -> list[str]:
    return [f"id:{i}" for i in map(parse_id, images) if i is not None]


def _regions(told: list[Any]) -> list[str]:
    """As the server reads them, in the order of its pictures; none for those at the end that have none."""
    while told and told[-1] is None:
        told.pop()
    return [",".join(f"{v:g}" for v in (region or (0, 0, 1, 1))) for region in told]


def _files(field: str, images: Sequence[ImageLike]) -> list[File]:
    return [(field, Path(image_name(i)).name or "picture", _bytes(i)) for i in images if parse_id(i) is None]


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
