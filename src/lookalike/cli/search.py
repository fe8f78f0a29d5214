"""lookalike search: the images most similar to one image or some words, or to several combined."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.options import MAX_BYTES, CollectionOption, DeviceOption, JsonOption, open_to_read
from lookalike.cli.output import log, print_json, print_row
from lookalike.cli.output_files import FIGURE
from lookalike.cli.result_options import ResultOptions, check_min_score
from lookalike.cli.usage_errors import checked_by, usage_error_for
from lookalike.errors import BadFilter, BadQuery
from lookalike.part_names import BOTH
from lookalike.text import percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lookalike.relate import HitSummary, Verdict
    from lookalike.search import Collection, ImageLike, Query, Results
    from lookalike.types import Hit


def _region(text: str) -> None:
    from lookalike.search import parse_region

    parse_region(text)


def search(
    queries: Annotated[
        list[str],
        typer.Argument(
            metavar="QUERY...", help="Images, - for one on stdin, id:ID, or text:WORDS. Several are combined."
        ),
    ],
    k: Annotated[int, typer.Option("-k", metavar="N", min=1, help="How many.")] = 12,
    minus: Annotated[
        list[str] | None, typer.Option(metavar="QUERY", help="Less like this image or text:WORDS; may be repeated.")
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y,W,H",
            callback=checked_by(_region),
            help="The part of the image that counts, as fractions; repeat it for further images.",
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(metavar="CONDITION", help='Only images that meet this SQL condition: "width > 1000".'),
    ] = None,
    min_score: Annotated[
        str | None,
        typer.Option(
            metavar="S",
            callback=checked_by(check_min_score),
            help="Only hits at least this similar: a score (0.4), P(copy) (90%), or expected false matches (e0.1).",
        ),
    ] = None,
    relations: Annotated[
        bool, typer.Option("--relations", help="Print each hit's relation to the query, verified by geometry.")
    ] = False,
    verify: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Verify the best N by geometry and rank verified hits first."),
    ] = None,
    hide_duplicates: Annotated[
        bool, typer.Option("--hide-duplicates", help="Leave out hits that are copies of a better hit.")
    ] = False,
    diversity: Annotated[
        float,
        typer.Option(
            metavar="D", min=0, max=1, help="0: most similar first; towards 1: hits different from each other."
        ),
    ] = 0.0,
    parts: Annotated[
        bool,
        typer.Option(
            "--parts", help="Also find images that show only a part of it, or it in a part of them, and where."
        ),
    ] = False,
    by: Annotated[
        str,
        typer.Option(
            metavar="PART",
            help="Of a model with parts: alike (the same kind of thing), copy (the same image), or both; "
            "or the name of an added model.",
        ),
    ] = BOTH,
    recall: Annotated[
        float | None,
        typer.Option(
            metavar="R",
            min=0.01,
            max=1,
            help="The share of the nearest images to find, in a collection with an index.",
        ),
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compare all images: --recall 1.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", callback=FIGURE, help="Draw the query and its hits.")
    ] = None,
    collection: CollectionOption = None,
    device: DeviceOption = "cpu",
    json: JsonOption = False,
) -> None:
    """Print the k images most like the query, best first: rank, score, path."""
    from lookalike.search import Query, parse_region

    if exact and recall is not None:
        raise typer.BadParameter("it is --recall 1; give one of them", param_hint="--exact")
    options = ResultOptions(
        min_score, relations, verify, hide_duplicates, diversity, by, recall=1.0 if exact else recall
    )
    if parts:
        _check_parts(queries, options, minus=minus, region=region)
        _search_parts(queries[0], k, where, collection, plot=plot, json=json)
        return
    images, subtracted = _images(queries), _images(minus or [])
    with usage_error_for("--region"):
        query = Query(images, subtracted, tuple(map(parse_region, region or [])))
    with open_to_read(collection) as photos:
        if not len(photos):
            raise BadQuery(f"{photos.uri} is empty; fill it with: lookalike index FOLDER -c {photos.uri}")
        with usage_error_for("--by"):
            photos.added_models.resolve(by, has_words=query.has_words)
        with usage_error_for("--where", BadFilter):
            results, verdicts = _search(photos, query, k, where, options)
        if results.model:
            log(f"searched by {results.model}")
        _warn_of_cut_texts(photos.by_model(results.model) if results.model else photos, query)
        name = " + ".join(queries) + "".join(f" - {m}" for m in minus or [])
        summary = _summary(verdicts)
        for rank, hit in enumerate(results, 1):
            _print(_Line(name, rank, hit, results), verdicts.get(hit.id), summary, as_json=json)
        if not len(results):
            log("no hits; try a less strict --where or a lower --min-score")
        elif summary is not None:
            _log_summary(summary)
        if plot:
            _plot(results, verdicts, plot)


def _search(
    photos: "Collection", query: "Query", k: int, where: str | None, options: "ResultOptions"
) -> "tuple[Results, Mapping[str, Verdict]]":
    if not options.refines:  # spares the imports of refinement
        return photos.search(
            query, k, where=where, min_score=options.min_score_value, by=options.by, recall=options.recall
        ), {}
    from lookalike.relate.hits import search_refined

    return search_refined(
        photos, query, k, where=where, refinement=options.refinement(), by=options.by, recall=options.recall
    )


def _summary(verdicts: "Mapping[str, Verdict]") -> "HitSummary | None":
    if not verdicts:  # spares the import
        return None
    from lookalike.relate import summarize_hits

    return summarize_hits(verdicts.values())


def _log_summary(summary: "HitSummary") -> None:
    """Print that nothing is a copy, and what the nearest hits are; nothing if there is a copy."""
    from lookalike.relate.words.sentences import summary_sentence

    if words := summary_sentence(summary):
        log(words)


def _check_parts(
    queries: list[str], options: "ResultOptions", *, minus: list[str] | None, region: list[str] | None
) -> None:
    """Raise a usage error for options that --parts does not combine with."""
    others = {"--minus": minus, "--region": region, "--min-score": options.min_score, "--by": options.by != BOTH}
    others |= {"--recall and --exact": options.recall is not None}
    others |= {"--relations, --verify, --hide-duplicates and --diversity": options.refines}
    if len(queries) != 1:
        raise typer.BadParameter("it searches with one image", param_hint="--parts")
    if excluded := next((name for name, value in others.items() if value), None):
        raise typer.BadParameter(f"it does not combine with {excluded}", param_hint="--parts")


def _search_parts(
    query: str, k: int, where: str | None, collection: str | None, *, plot: Path | None, json: bool
) -> None:
    """Print the hits of a search by parts: those that lie in the query, or it in them, first."""
    from lookalike.cli.containment_output import containment_json, containment_words, draw_containments
    from lookalike.relate.local_search import load_query, search_by_parts

    with open_to_read(collection) as photos:
        (image,) = _images([query])
        with usage_error_for("--where", BadFilter):
            results = search_by_parts(photos, image, k, where=where)
        pixels = load_query(photos, image) if plot else None
    containments = [one.containment for one in results if one.containment is not None]
    for rank, one in enumerate(results, 1):
        path = one.hit.metadata.get("path")
        if json:
            found_at = None if one.containment is None else containment_json(one.containment)
            facts = {"query": query, "rank": rank, "id": one.hit.id, "path": path, "score": round(one.hit.score, 6)}
            print_json(facts | {"containment": found_at})
        else:
            words = "" if one.containment is None else f"  {containment_words(one.containment)}"
            print_row(f"{rank:>3}  {one.hit.score:.3f}  {path or one.hit.id!s}{words}")
    if not containments:
        log("no match: no image was found in the query, nor the query in an image; these are only the nearest")
    elif plot and pixels is not None:
        draw_containments(pixels, query, containments, plot)


def _images(names: list[str]) -> "tuple[ImageLike, ...]":
    if names.count("-") > 1:
        raise typer.BadParameter("stdin holds one image; use '-' once", param_hint="QUERY")
    return tuple(_stdin() if name == "-" else name for name in names)


def _stdin() -> bytes:
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise BadQuery(f"stdin holds more than {MAX_BYTES:,} bytes; search with a smaller image")
    return data


@dataclass(frozen=True)
class _Line:
    """A hit as it is printed: `query` and `rank`, the hit, and the results it belongs to."""

    query: str
    rank: int
    hit: "Hit"
    results: "Results"

    @property
    def facts(self) -> dict[str, object]:
        hit, percentile = self.hit, self.results.percentiles.get(self.hit.id)
        facts: dict[str, object] = {"query": self.query, "rank": self.rank, "id": hit.id}
        facts |= {"path": hit.metadata.get("path"), "score": round(hit.score, 6)}
        facts |= {} if percentile is None else {"percentile": round(percentile, 2)}
        return facts | ({"model": self.results.model} if self.results.model else {})


def _print(line: _Line, verdict: "Verdict | None", summary: "HitSummary | None", *, as_json: bool) -> None:
    hit = line.hit
    if as_json:
        first = line.facts
        if verdict is not None:
            from lookalike.relate.facts import verdict_facts

            first["verdict"] = verdict_facts(verdict)
        if summary is not None:
            from lookalike.relate.facts import summary_facts

            first["summary"] = summary_facts(summary)
        print_json(first | {name: value for name, value in hit.metadata.items() if name not in first})
    else:
        plain = "  (plain)" if hit.metadata.get("plain") else ""
        relation = "" if verdict is None else f"{_verdict(verdict):<34}"
        score = f"{line.results.score_text(hit):>{6 if line.results.percentiles else 5}}"
        print_row(f"{line.rank:>3}  {score}  {relation}{hit.metadata.get('path') or hit.id!s}{plain}")


def _warn_of_cut_texts(photos: "Collection", query: "Query") -> None:
    """Say which texts are longer than the model reads."""
    if not query.has_words:  # spares the import
        return
    from lookalike.search.query import parse_words

    for words in filter(None, map(parse_words, (*query.images, *query.minus))):
        if (beginning := photos.text_search.truncated(words.text)) is not None:
            log(f"the text is too long for {photos.card.name}: only its beginning counts, to {beginning[-40:]!r}")


def _verdict(verdict: "Verdict") -> str:
    """Relation, probability and expected false matches as one column."""
    false = verdict.expected_false_matches
    expected = "" if false is None else f"  e{false:.1e}" if false < 0.01 else f"  e{false:.2g}"
    return f"{_relation(verdict)}{expected}"


def _relation(verdict: "Verdict") -> str:
    sure = "" if verdict.relation < 0 else f" {percent(verdict.probability)}"
    return f"{verdict.relation}{sure}"


def _plot(results: "Results", verdicts: "Mapping[str, Verdict]", path: Path) -> None:
    from lookalike.plot import hits, save

    relations = {name: _relation(verdict) for name, verdict in verdicts.items()}
    log(f"drawn: {save(hits(results, captions=relations), path)}")
