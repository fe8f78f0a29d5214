"""A Collection on a server, through its HTTP API."""

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from lookalike.client.transport import File, Transport, image_path
from lookalike.errors import BadQuery, ImageError, UnknownId, nearest
from lookalike.image.convert import ImageLike, image_name
from lookalike.image.region import Region
from lookalike.part_names import BOTH
from lookalike.search.arguments import (
    check_count,
    check_id,
    check_recall,
    check_score,
    column_list,
    id_list,
    image_list,
    metadata_list,
)
from lookalike.search.conditions import Parameters, Where, as_condition
from lookalike.search.query import Query, parse_id, parse_words, with_options
from lookalike.search.results import Results
from lookalike.text import expanded
from lookalike.types import AddReport, Failure, Hit, Metadata, Row, Scalar

DEFAULT_K = 12
MAX_FILES = 8  # per request; the limit of the server
MAX_REQUEST_BYTES = 32 * 2**20  # of several files; half the default limit of the server
MAX_PAGE = 1000  # images or failures of one response; the limit of the server
TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RemotePartHit:
    """A hit of `RemoteCollection.search_by_parts`.

    `containment`: how the query and the image lie in each other, as in `lookalike search --parts --json`; None if that
    is not verified.
    """

    hit: Hit
    containment: Mapping[str, Any] | None


def connect(url: str, *, token: str | None = None, seconds: float = TIMEOUT_SECONDS) -> "RemoteCollection":
    """Return the collection of the server at `url` (`lookalike serve`). `seconds`: timeout of a request.

    Raises CollectionError if the server does not respond.
    """
    return RemoteCollection(Transport(url, token, seconds))


class RemoteCollection:
    """search, search_many, search_by_id, add, remove, get, ids, thumbnails, failures, len and in, as in Collection.

    `search_by_parts` is that of lookalike.relate.local_search. Queries are paths, bytes, arrays, PIL images or "id:ID";
    files are read on this machine and uploaded. Unlike a local Collection, a query returns at most 1000 images, and
    path columns need a server with --show-paths.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._transport.get("/v1/collection")

    @property
    def uri(self) -> str:
        """The URL of the server."""
        return self._transport.url

    # -- searching

    def search(  # noqa: PLR0913 - as Collection.search
        self,
        query: Query | ImageLike | Sequence[ImageLike],
        k: int = DEFAULT_K,
        *,
        minus: Sequence[ImageLike] | ImageLike = (),
        region: Region | None = None,
        where: Where | None = None,
        parameters: Parameters | None = None,
        min_score: float | None = None,
        by: str = BOTH,
        recall: float | None = None,
    ) -> Results:
        """Return the k images, at most 1000, most similar to one image or several combined; see `Collection.search`."""
        query, condition = with_options(query, minus, region), as_condition(where, parameters)
        k, min_score = check_count(k), check_score(min_score)
        files, fields = self._encode(query)
        options = {"where": condition, "min_score": min_score, "by": by, "recall": check_recall(recall)}
        response = self._transport.form("/v1/search", files, fields, k=k, **options)
        percentiles = {hit["id"]: hit["percentile"] for hit in response["hits"] if "percentile" in hit}
        names = tuple(map(image_name, query.images))
        model = response.get("model") or ""
        return Results(names, _hits(response), (), self.thumbnails, percentiles=percentiles, model=model)

    def search_many(
        self,
        queries: Sequence[Query | ImageLike] | Query | ImageLike,
        k: int = DEFAULT_K,
        *,
        where: Where | None = None,
        parameters: Parameters | None = None,
        min_score: float | None = None,
        by: str = BOTH,
        recall: float | None = None,
    ) -> list[Results]:
        """Run `search` for each of several queries."""
        condition = as_condition(where, parameters)
        return [
            self.search(query, k, where=condition, min_score=min_score, by=by, recall=recall)
            for query in image_list(queries)
        ]

    def search_by_id(
        self,
        image_id: str,
        k: int = DEFAULT_K,
        *,
        where: Where | None = None,
        parameters: Parameters | None = None,
        by: str = BOTH,
        recall: float | None = None,
    ) -> Results:
        """Return the k images most similar to an image of the collection, without itself. Raises UnknownId."""
        path, condition = image_path(check_id(image_id), "/similar"), as_condition(where, parameters)
        options = {"by": by, "recall": check_recall(recall)}
        response = self._transport.get(path, k=check_count(k), where=condition, **options)
        model = response.get("model") or ""
        return Results((f"id:{image_id}",), _hits(response), (), self.thumbnails, model=model)

    def search_by_parts(
        self,
        query: ImageLike,
        k: int = DEFAULT_K,
        *,
        where: Where | None = None,
        parameters: Parameters | None = None,
    ) -> list[RemotePartHit]:
        """Return the k best images: first those that show a part of the query or contain it, or parts of it.

        Raises BadQuery if the collection keeps no local features (`lookalike index --parts`).
        """
        condition = as_condition(where, parameters)
        files, fields = self._encode(Query((query,)))
        response = self._transport.form("/v1/search", files, fields, k=check_count(k), where=condition, parts=True)
        return [
            RemotePartHit(hit, facts["containment"])
            for hit, facts in zip(_hits(response), response["hits"], strict=True)
        ]

    def _encode(self, query: Query) -> tuple[list[File], dict[str, list[str]]]:
        """Return the files and fields of a search. Files that exceed one request are uploaded ahead one by one."""
        files = [*_files("image", query.images), *_files("minus_image", query.minus)]
        regions = [*query.regions, *[None] * (len(query.images) - len(query.regions))]
        pairs = list(zip(query.images, regions, strict=True))
        if len(files) <= MAX_FILES and (len(files) <= 1 or sum(len(f[2]) for f in files) <= MAX_REQUEST_BYTES):
            pairs.sort(key=lambda pair: _is_name(pair[0]))  # the order of the server: uploads first
            names = {"like": _ids(query.images), "minus": _ids(query.minus)}
        else:
            files, names = [], {"like": self._upload_queries(query.images), "minus": self._upload_queries(query.minus)}
        return files, names | {"region": _regions([region for _, region in pairs])}

    def _upload_queries(self, images: Sequence[ImageLike]) -> list[str]:
        """Upload images and return the names of all: `query:` tokens of the uploads and `id:` names of the others."""
        responses = (
            {} if _is_name(i) else self._transport.form("/v1/queries", _files("image", [i]), {}) for i in images
        )
        return [saved.get("query") or str(image) for image, saved in zip(images, responses, strict=True)]

    # -- adding and removing

    def add(
        self,
        images: Sequence[ImageLike] | ImageLike,
        ids: Sequence[str] | str | None = None,
        metadata: Sequence[Metadata] | Metadata | None = None,
    ) -> AddReport:
        """Upload images; existing ids are replaced. Images that cannot be used are listed in the report.

        Without `ids`, the id of each image is the hash of the uploaded bytes. `metadata`: one mapping for each image,
        or one for all.
        """
        listed = image_list(images)
        names = None if ids is None else id_list(ids)
        if names is not None and len(names) != len(listed):
            raise BadQuery(f"there are {len(listed)} images and {len(names)} ids; pass one for each image")
        facts = None if metadata is None else metadata_list(metadata, len(listed), of="images")
        report = AddReport()
        for batch in _batches(_read_images(listed, names, facts, report)):
            self._add(batch, report)
        return report

    def _add(self, batch: Sequence["_NewImage"], report: AddReport) -> None:
        # Files are named by number: the response identifies failures by name, and names can repeat.
        files = [("image", str(n), new.data) for n, new in enumerate(batch)]
        fields = {
            "id": [new.id for new in batch if new.id is not None],
            "metadata": [new.metadata for new in batch if new.metadata is not None],
        }
        try:
            response = self._transport.form("/v1/images", files, fields)
        except ImageError as error:  # none of them can be used, or they are too large together
            if len(batch) == 1:
                report.failed.append(Failure(batch[0].name, str(error)))
            else:
                for new in batch:
                    self._add([new], report)
            return
        report.added += response["added"]
        report.changed += response["changed"]
        report.failed += [Failure(batch[int(failed["name"])].name, failed["reason"]) for failed in response["failed"]]

    def remove(self, ids: Iterable[str] | str) -> int:
        """Remove images and return how many were removed; unknown ids are ignored."""
        return sum(self._remove(image_id) for image_id in id_list(ids))

    def _remove(self, image_id: str) -> int:
        try:
            return int(self._transport.request("DELETE", image_path(image_id))["removed"])
        except UnknownId:
            return 0

    # -- reading

    def get(self, ids: Iterable[str] | str, columns: Sequence[str] | str | None = None) -> list[Row | None]:
        """Return stored images in the order of `ids`, None for unknown ids. Thumbnails are included only by name."""
        names = column_list(columns)
        return [self._row(image_id, names) for image_id in id_list(ids)]

    def ids(self, where: Where | None = None, parameters: Parameters | None = None) -> list[str]:
        """Return all ids, or those of the images that meet a condition, in order; a page of 1,000 a request.

        Raises BadQuery if the collection is too large for the server to list.
        """
        condition, ids = as_condition(where, parameters), list[str]()
        while True:
            page = self._transport.get("/v1/images", k=MAX_PAGE, offset=len(ids), where=condition)
            ids += [image["id"] for image in page["images"]]
            if not page["images"] or len(ids) >= page["total"]:
                return ids

    def _row(self, image_id: str, columns: Sequence[str] | None) -> Row | None:
        try:
            image = self._transport.get(image_path(image_id), vector=True)
        except UnknownId:
            return None
        facts: dict[str, Scalar] = image["metadata"]
        if columns is not None:
            if "thumbnail" in columns:
                facts["thumbnail"] = self._thumbnail(image_id)
            if unknown := [name for name in columns if name not in facts]:
                raise BadQuery(f"There is no column {unknown[0]!r}; {nearest(unknown[0], facts)}.")
            facts = {name: facts[name] for name in columns}
        return Row(image["id"], np.array(image["vector"], np.float32), facts)

    def thumbnails(self, ids: Iterable[str] | str) -> list[bytes | None]:
        """Return JPEG thumbnails, None for images without one."""
        return [self._thumbnail(image_id) for image_id in id_list(ids)]

    def _thumbnail(self, image_id: str) -> bytes | None:
        try:
            return self._transport.request_bytes("GET", image_path(image_id, "/thumbnail"))
        except UnknownId:
            return None

    def failures(self) -> list[Failure]:
        """Return the files that could not be indexed, with the reason for each."""
        failures: list[Failure] = []
        while True:
            page = self._transport.get("/v1/failures", k=MAX_PAGE, offset=len(failures))
            failures += [Failure(failed["file"], failed["reason"]) for failed in page["failures"]]
            if not page["failures"] or len(failures) >= page["total"]:
                return failures

    def __bool__(self) -> bool:
        """Return True, without a request: an empty collection is still a collection."""
        return True

    def __len__(self) -> int:
        return int(self._transport.get("/v1/collection")["images"])

    def __contains__(self, image_id: object) -> bool:
        if not isinstance(image_id, str):
            return False
        try:
            self._transport.get(image_path(image_id))
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
        """Close the connection."""
        self._transport.close()


def _hits(response: Mapping[str, Any]) -> tuple[Hit, ...]:
    return tuple(Hit(hit["id"], hit["score"], hit["metadata"]) for hit in response["hits"])


@dataclass(frozen=True, slots=True)
class _NewImage:
    """An image to add: its name in reports, its bytes, and its optional id and metadata as JSON."""

    name: str
    data: bytes
    id: str | None
    metadata: str | None


def _read_images(
    images: Sequence[ImageLike], ids: Sequence[str] | None, metadata: Sequence[Metadata] | None, report: AddReport
) -> Iterator[_NewImage]:
    """Yield the images, read one by one; add those that cannot be read to the report."""
    for n, image in enumerate(images):
        try:
            data = _bytes(image)
        except ImageError as error:
            report.failed.append(Failure(image_name(image), str(error)))
            continue
        metadata_json = json.dumps(dict(metadata[n]), default=_scalar) if metadata else None
        yield _NewImage(image_name(image), data, ids[n] if ids else None, metadata_json)


def _batches(images: Iterable[_NewImage]) -> Iterator[list[_NewImage]]:
    """Yield the images in batches that fit into one request."""
    batch: list[_NewImage] = []
    for new in images:
        full = len(batch) == MAX_FILES or sum(len(image.data) for image in batch) + len(new.data) > MAX_REQUEST_BYTES
        if batch and full:
            yield batch
            batch = []
        batch.append(new)
    if batch:
        yield batch


def _scalar(value: Any) -> Scalar:
    if isinstance(value, np.generic):
        scalar: Scalar = value.item()
        return scalar
    raise BadQuery(f"metadata cannot contain a {type(value).__name__}; use strings, numbers and booleans")


def _ids(images: Sequence[ImageLike]) -> list[str]:
    return [str(image) for image in images if _is_name(image)]


def _is_name(image: ImageLike) -> bool:
    """Return whether an image is sent by name: "id:ID" or "text:WORDS"."""
    return parse_id(image) is not None or parse_words(image) is not None


def _regions(regions: list[Any]) -> list[str]:
    """Return regions as x,y,width,height, in the order of the images, without trailing images that have none."""
    while regions and regions[-1] is None:
        regions.pop()
    return [",".join(f"{v:g}" for v in (region or (0, 0, 1, 1))) for region in regions]


def _files(field: str, images: Sequence[ImageLike]) -> list[File]:
    return [(field, Path(image_name(i)).name or "image", _bytes(i)) for i in images if not _is_name(i)]


def _bytes(image: ImageLike) -> bytes:
    """Return the bytes of an image file unchanged; encode an array or a PIL image as PNG."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | Path):
        from lookalike.image import read, to_text

        return read(to_text(expanded(image)))
    from PIL import Image

    from lookalike.image import to_rgb

    buffer = io.BytesIO()
    Image.fromarray(np.asarray(to_rgb(image))).save(buffer, "PNG")
    return buffer.getvalue()
