"""lookalike find-in: is a picture inside another, or inside any of a collection: where, how large, which turn."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from lookalike.cli.options import CollectionOption, JsonOption
from lookalike.cli.output import ProgressLine, emit, put, say

if TYPE_CHECKING:
    from lookalike.relate.find import Place


SIDE = 512  # as relate.features; repeated, since --help must not import it


def find_in(
    query: Annotated[Path, typer.Argument(metavar="QUERY", help="The picture to look for.")],
    inside: Annotated[
        Optional[list[Path]],  # noqa: UP045 - typer reads it at run time on Python 3.11
        typer.Option(metavar="PAGE", help="The larger picture; may be repeated. Without it: a whole collection."),
    ] = None,
    collection: CollectionOption = None,
    limit: Annotated[int, typer.Option(min=1, help="In a collection: look closely at so many images.")] = 1000,
    json: JsonOption = False,
) -> None:
    """Print where the picture lies in the larger one: x, y, width, height as fractions, share, turn, scale."""
    from lookalike.relate.compare import picture_of

    wanted = picture_of(str(query), side=SIDE)
    found = _in_pages(wanted, inside, json) if inside else _in_collection(wanted, collection, limit, json)
    if not found:
        say("no match: the picture was not found inside" + (" the collection" if not inside else ""))


def _in_pages(wanted: Any, pages: list[Path], json: bool) -> int:
    from lookalike.relate.calibration import Calibration, default_geometry
    from lookalike.relate.compare import picture_of
    from lookalike.relate.find import find_in as find_places

    calibration, count = Calibration(geometry=default_geometry()), 0
    for page in pages:
        for place in find_places(wanted, picture_of(str(page), side=None), calibration):
            _print(str(page), place, json)
            count += 1
    return count


def _in_collection(wanted: Any, collection: str | None, limit: int, json: bool) -> int:
    from lookalike.relate import calibration_of
    from lookalike.relate.find import find_in_collection
    from lookalike.search import open_collection

    # Not for reading only: features are found once, and kept.
    with open_collection(collection, create=False) as photos, ProgressLine("images") as progress:
        if len(photos) > limit:
            say(f"looking at {limit:,} of {len(photos):,} images, most alike first; --limit looks at more")
        found = find_in_collection(photos, wanted, calibration_of(photos), limit=limit, progress=progress)
    for one in found:
        _print(one.path, one.place, json, id=one.id, how=one.how)
    return len(found)


def _print(page: str, place: "Place", json: bool, **more: str) -> None:
    low, high = place.outline.min(axis=0), place.outline.max(axis=0)
    box = [round(float(v), 4) for v in (*low, *(high - low))]
    facts = {
        "path": page,
        "box": box,
        "outline": [[round(float(v), 4) for v in corner] for corner in place.outline],
        "share": round(place.share, 4),
        "turn": round(place.turn, 1),
        "scale": round(place.scale, 3),
        "mirrored": place.mirrored,
        "probability": round(place.probability, 4),
        "inliers": place.inliers,
    }
    if json:
        emit(more | facts)
        return
    turned = f", turned by {place.turn:.0f}°" if abs(place.turn) >= 1 else ""
    how = f"{more['how']}, " if more else ""
    put(
        f"{page}  {how}at {','.join(f'{v:g}' for v in box)}  {100 * place.share:.1f} % of it, scaled to "
        f"{100 * place.scale:.0f} %{turned}{', mirrored' if place.mirrored else ''}  "
        f"probability {100 * place.probability:.1f} %, {place.inliers} points"
    )
