"""lookalike find-in: find an image inside others, or inside those of a collection: where, how large, how rotated."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.containment_output import containment_json, containment_words, draw_containments
from lookalike.cli.options import CollectionOption, JsonOption, open_to_read
from lookalike.cli.output import ProgressLine, log, print_json, print_row
from lookalike.cli.output_files import FIGURE
from lookalike.errors import ImageError

if TYPE_CHECKING:
    from lookalike.relate.geometry.containment import Containment
    from lookalike.types import RGB

_LIMIT, _LIMIT_WITH_LOCAL_FEATURES = 1000, 100


def find_in(
    query: Annotated[Path, typer.Argument(metavar="QUERY", help="The image to find.")],
    inside: Annotated[
        list[Path] | None,
        typer.Option(metavar="PAGE", help="The larger image; may be repeated. Without it: a whole collection."),
    ] = None,
    collection: CollectionOption = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="In a collection: how many images to verify, most promising first. Default: 1000, or 100 with local "
            "features (index --parts).",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", callback=FIGURE, help="Draw the locations and the matching points."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Print where the image lies in the larger one: x, y, width, height as fractions, share, turn, scale."""
    from lookalike.relate.compare import read_rgb

    query_image = read_rgb(str(query))  # at full resolution: `scale` counts its pixels
    containments = []
    for containment in _in_pages(query_image, inside) if inside else _in_collection(query_image, collection, limit):
        if json:
            print_json(({} if inside else {"id": containment.id}) | containment_json(containment))
        else:
            print_row(f"{containment.path}  {containment_words(containment)}")
        containments.append(containment)
    if not containments:
        log(f"no match: the image was not found in {'the pages' if inside else 'the collection'}")
    elif plot:
        draw_containments(query_image, str(query), containments, plot)


def _in_pages(query_image: "RGB", pages: list[Path]) -> "Iterator[Containment]":
    """Yield the locations in each page. Unreadable pages are reported and skipped; raises ImageError if all are."""
    from lookalike.relate.compare import read_rgb
    from lookalike.relate.find_in import find_in as find_locations
    from lookalike.relate.geometry.containment import Containment, containment_kind
    from lookalike.relate.probability.calibration_model import Calibration, default_geometry

    calibration, readable = Calibration(geometry=default_geometry()), 0
    for number, page in enumerate(pages, 1):
        try:
            image = read_rgb(str(page), side=None)
        except ImageError as error:
            if number == len(pages) and not readable:
                raise
            log(f"skipped {error}")
            continue
        readable += 1
        for location in find_locations(query_image, image, calibration):
            yield Containment(str(page), str(page), containment_kind(location.match), location)


def _in_collection(query_image: "RGB", collection: str | None, limit: int | None) -> "list[Containment]":
    from lookalike.relate import calibration_of
    from lookalike.relate.find_in import find_in_collection
    from lookalike.relate.local_search import ids_with_shared_details, keeps_local_features

    with open_to_read(collection) as photos, ProgressLine("images") as progress:
        by_details = keeps_local_features(photos)
        count = limit or (_LIMIT_WITH_LOCAL_FEATURES if by_details else _LIMIT)
        if len(photos) > count:
            more = "" if by_details else ", or index --parts finds them by their details"
            log(f"verifying {count:,} of {len(photos):,} images, most promising first; --limit verifies more{more}")
        first = ids_with_shared_details(photos, query_image, count) if by_details else ()
        calibration = calibration_of(photos)
        return find_in_collection(photos, query_image, calibration, limit=count, first=first, progress=progress)
