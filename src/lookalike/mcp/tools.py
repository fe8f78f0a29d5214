"""The tools of `lookalike mcp`: search, copies, comparison, one image, the collection; labels only if they are allowed.

An answer is text (JSON) and, of hits, thumbnails as images. Protocol: modelcontextprotocol.io.
"""

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from lookalike._version import __version__
from lookalike.cluster import set_labels
from lookalike.errors import BadQuery, LookalikeError, UnknownId
from lookalike.relate import calibration_of
from lookalike.relate.compare import compare
from lookalike.relate.facts import verdict_facts
from lookalike.relate.hits import Refinement, search_refined
from lookalike.search import Collection, Query
from lookalike.text import expanded
from lookalike.types import Hit, Relation

P = ParamSpec("P")
R = TypeVar("R")
MAX_K = 100
MAX_THUMBNAILS = 12  # of one answer; each is some 10 kB
MAX_IDS = 1000
_HIDDEN = frozenset({"thumbnail", "root", "sha256", "mtime_ns", "frame"})

Images = Annotated[
    list[str], Field(max_length=8, description='Paths of image files, or "id:ID" of images in the collection.')
]
Words = Annotated[str, Field(max_length=2000, description="What the images show, if a model here reads words.")]
OneImage = Annotated[str, Field(max_length=4000, description='The path of an image file, or "id:ID".')]
Where = Annotated[str, Field(max_length=2000, description="A SQL condition on metadata, such as year = 2019.")]
Count = Annotated[int, Field(ge=1, le=MAX_K, description="How many hits.")]
Shown = Annotated[int, Field(ge=0, le=MAX_THUMBNAILS, description="How many hits to show as images.")]

INSTRUCTIONS = (
    "Searches a collection of images by images and words. Scores compare vectors, and mean little between collections; "
    "whether two images are copies is told by find_copies and compare_images, which verify it. Words find what images "
    "show; their hits have a percentile instead, and the first is not always right: look at the thumbnails."
)


def make_server(photos: Collection, *, allow_write: bool = False) -> MCPServer[Any]:
    """Return a server whose tools search a collection. `allow_write`: also one that sets labels."""
    server: MCPServer[Any] = MCPServer("lookalike", version=__version__, instructions=INSTRUCTIONS)
    tools = CollectionTools(photos)
    reading = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    for tool in (
        tools.describe_collection,
        tools.search_images,
        tools.find_copies,
        tools.compare_images,
        tools.get_image,
    ):
        server.tool(annotations=reading)(_with_sentences(tool))
    if allow_write:
        writing = ToolAnnotations(
            read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        )
        server.tool(annotations=writing)(_with_sentences(tools.label_images))
    return server


def _with_sentences(tool: Callable[P, R]) -> Callable[P, R]:
    """Have the errors of the library reach the client as sentences, and no others."""

    @functools.wraps(tool)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return tool(*args, **kwargs)
        except LookalikeError as error:
            raise ToolError(str(error)) from error

    return call


class CollectionTools:
    """The tools, each a method: its signature and docstring are what the client sees."""

    def __init__(self, photos: Collection) -> None:
        self._photos = photos

    def describe_collection(self) -> str:
        """Return how many images there are, the columns for conditions, the folders and the models."""
        photos = self._photos
        added = photos.added_models
        facts = {
            "images": len(photos),
            "model": photos.card.name,
            "added_models": list(added.names()),
            "words": added.for_words().card.text is not None,
            "columns": {n: kind.__name__ for n, kind in photos.store.columns().items() if n not in _HIDDEN},
            "folders": [root.path for root in photos.roots()],
        }
        return _json(facts)

    def search_images(
        self,
        words: Words = "",
        images: Images = [],  # noqa: B006 - read only
        minus: Images = [],  # noqa: B006
        where: Where = "",
        k: Count = 12,
        by: Annotated[str, Field(description="both, alike, copy, or the name of an added model.")] = "both",
        thumbnails: Shown = 6,
    ) -> list[str | Image]:
        """Find the images most similar to words, to images, or to both together, best first."""
        if not words and not images:
            raise BadQuery("give words, images, or both")
        query = Query(tuple(images), tuple(minus), text=words or ())
        results = self._photos.search(query, k, where=where or None, by=by)
        hits = [self._hit(rank, hit, results.percentiles) for rank, hit in enumerate(results, 1)]
        answer = {"hits": hits} | ({"model": results.model} if results.model else {})
        return [_json(answer), *self._thumbnails([hit.id for hit in results][:thumbnails])]

    def find_copies(
        self, image: OneImage, where: Where = "", k: Count = 12, thumbnails: Shown = 6
    ) -> list[str | Image]:
        """Find copies of an image: the same image, also edited, cropped or inside another. Each is verified.

        `relation` says what a hit is (identical, copy, variant, same-object, related, unrelated), `probability` how
        sure that is. Only "identical" and "copy" are copies.
        """
        refinement = Refinement(relations=True, verify=k)
        results, verdicts = search_refined(
            self._photos, image, k, refinement=refinement, where=where or None, by="copy"
        )
        hits = []
        for rank, hit in enumerate(results, 1):
            verdict = verdicts.get(hit.id)
            judged = {} if verdict is None else {
                "relation": str(verdict.relation), "probability": round(verdict.probability, 4),
            }  # fmt: skip
            hits.append(self._hit(rank, hit, {}) | judged)
        copies = sum(one.relation >= Relation.COPY for one in verdicts.values())
        return [_json({"copies": copies, "hits": hits}), *self._thumbnails([hit.id for hit in results][:thumbnails])]

    def compare_images(self, first: OneImage, second: OneImage) -> str:
        """Say what two images are to each other, how sure that is, and what was changed from first to second."""
        photos = self._photos
        sources = [self._source(name) for name in (first, second)]
        comparison = compare(sources[0], sources[1], photos.embedder, calibration_of(photos))
        return _json(verdict_facts(comparison.verdict) | {"words": comparison.explanation.words})

    def get_image(self, id: Annotated[str, Field(max_length=4000, description="An id of a hit.")]) -> list[str | Image]:
        """Return an image of the collection with all that is known of it."""
        (row,) = self._photos.get([id])
        if row is None:
            raise _unknown(id)
        return [_json({"id": id, "metadata": _public(row.metadata)}), *self._thumbnails([id])]

    def label_images(
        self,
        ids: Annotated[list[str], Field(min_length=1, max_length=MAX_IDS, description="Ids of hits.")],
        label: Annotated[str, Field(max_length=200, description="The label; empty to remove it.")],
    ) -> str:
        """Give images a label, or take it away. Nothing else is ever changed."""
        if not label.isprintable():
            raise BadQuery("a label is one line of text")
        known = [row.id for row in self._photos.get(list(dict.fromkeys(ids)), []) if row is not None]
        set_labels(self._photos, dict.fromkeys(known, label.strip() or None))
        return _json({"changed": len(known)})

    def _hit(self, rank: int, hit: Hit, percentiles: Mapping[str, float]) -> dict[str, Any]:
        facts: dict[str, Any] = {"rank": rank, "id": hit.id, "score": round(hit.score, 4)}
        if hit.id in percentiles:
            facts["percentile"] = round(percentiles[hit.id], 2)
        return facts | {"metadata": _public(hit.metadata)}

    def _thumbnails(self, ids: list[str]) -> list[Image]:
        jpegs = self._photos.thumbnails(ids) if ids else []
        return [Image(data=jpeg, format="jpeg") for jpeg in jpegs if jpeg]

    def _source(self, name: str) -> str | bytes | Path:
        """Return what an image is read from: a file, of an image of the collection too if it is there."""
        if not name.startswith("id:"):
            return expanded(name)
        (row,) = self._photos.get([name.removeprefix("id:")], ["path", "thumbnail"])
        if row is None:
            raise _unknown(name.removeprefix("id:"))
        path, jpeg = row.metadata.get("path"), row.metadata.get("thumbnail")
        if isinstance(path, str) and Path(path).is_file():
            return Path(path)
        if isinstance(jpeg, bytes):
            return jpeg
        raise UnknownId(f"the file of {name!r} is not available, and there is no thumbnail of it")


def _unknown(image_id: str) -> UnknownId:
    return UnknownId(f"no image has the id {image_id[:200]!r}; ids are in the results of a search")


def _public(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name not in _HIDDEN and value is not None}


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False)
