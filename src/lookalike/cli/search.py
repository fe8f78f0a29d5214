"""lookalike search: the pictures most like one, or like several combined."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from lookalike.cli.options import MAX_BYTES, CollectionOption, JsonOption, open_to_read
from lookalike.cli.output import emit, put, say
from lookalike.errors import BadQuery

if TYPE_CHECKING:
    from lookalike.search import ImageLike, Results
    from lookalike.types import Hit


def search(
    queries: Annotated[
        list[str],
        typer.Argument(metavar="QUERY...", help="Pictures, - for one on stdin, or id:ID. Several are combined."),
    ],
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 12,
    minus: Annotated[
        list[str] | None, typer.Option(metavar="QUERY", help="Less like this one; may be repeated.")
    ] = None,
    region: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            metavar="X,Y,W,H", help="The part of the picture that counts, as fractions; repeat it for further pictures."
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(metavar="CONDITION", help='Only images for which this holds, as in SQL: "width > 1000".'),
    ] = None,
    min_score: Annotated[Optional[float], typer.Option(min=-1, max=1, help="Only hits at least so alike.")] = None,  # noqa: UP045
    plot: Annotated[Optional[Path], typer.Option(metavar="FILE.png", help="Draw the query and its hits.")] = None,  # noqa: UP045
    collection: CollectionOption = None,
    json: JsonOption = False,
) -> None:
    """Print the k images most like the query, best first: rank, score, path."""
    from lookalike.search import Query, parse_region

    asked = Query(_pictures(queries), _pictures(minus or []), tuple(map(parse_region, region or [])))
    with open_to_read(collection) as photos:
        if not len(photos):
            raise BadQuery(f"{photos.uri} is empty; fill it with: lookalike index FOLDER -c {photos.uri}")
        results = photos.search(asked, k, where=where, min_score=min_score)
        name = " + ".join(queries) + "".join(f" - {m}" for m in minus or [])
        for rank, hit in enumerate(results, 1):
            _print(name, rank, hit, as_json=json)
        if not len(results):
            say("nothing found; a wider --where or a lower --min-score may find something")
        if plot:
            _plot(results, plot)


def _pictures(names: list[str]) -> "tuple[ImageLike, ...]":
    if names.count("-") > 1:
        raise BadQuery("stdin holds one picture; give '-' once")
    return tuple(_stdin() if name == "-" else name for name in names)


def _stdin() -> bytes:
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise BadQuery(f"stdin holds more than {MAX_BYTES:,} bytes; search with a smaller picture")
    return data


def _print(query: str, rank: int, hit: "Hit", *, as_json: bool) -> None:
    if as_json:
        first = {
            "query": query,
            "rank": rank,
            "id": hit.id,
            "path": hit.metadata.get("path"),
            "score": round(hit.score, 6),
        }
        emit(first | {name: value for name, value in hit.metadata.items() if name not in first})
    else:
        plain = "  (plain)" if hit.metadata.get("plain") else ""
        put(f"{rank:>3}  {hit.score:.3f}  {hit.metadata.get('path') or hit.id!s}{plain}")


def _plot(results: "Results", path: Path) -> None:
    from lookalike.plot import hits, save

    say(f"drawn: {save(hits(results), path)}")
