"""lookalike find-in: is a picture inside another, or inside any of a collection: where, how large, which turn."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from lookalike.cli.options import CollectionOption, JsonOption
from lookalike.cli.output import ProgressLine, log, print_json, print_row
from lookalike.errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lookalike.relate.geometry.containment import Found
    from lookalike.types import RGB


_SIDE = 512  # pixels of the short side that a figure needs
_DRAWN = 8  # pictures in one figure


def find_in(
    query: Annotated[Path, typer.Argument(metavar="QUERY", help="The picture to look for.")],
    inside: Annotated[
        Optional[list[Path]],  # noqa: UP045 - typer reads it at run time on Python 3.11
        typer.Option(metavar="PAGE", help="The larger picture; may be repeated. Without it: a whole collection."),
    ] = None,
    collection: CollectionOption = None,
    limit: Annotated[int, typer.Option(min=1, help="In a collection: look closely at so many images.")] = 1000,
    plot: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE.png", help="Draw where it was found, with the points that match."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Print where the picture lies in the larger one: x, y, width, height as fractions, share, turn, scale."""
    from lookalike.relate.compare import picture_of

    wanted = picture_of(str(query))  # with all its pixels: `scale` counts them
    found = []
    for one in _in_pages(wanted, inside) if inside else _in_collection(wanted, collection, limit):
        _print(one, more={} if inside else {"id": one.id}, as_json=json)
        found.append(one)
    if not found:
        log("no match: the picture was not found inside" + (" the collection" if not inside else ""))
    elif plot:
        _plot(wanted, str(query), found, plot)


def _in_pages(wanted: "RGB", pages: list[Path]) -> "Iterator[Found]":
    """Where it is in each page. One that cannot be read is told and left out; raises ImageError if none can."""
    from lookalike.relate.compare import picture_of
    from lookalike.relate.geometry.containment import Found, how
    from lookalike.relate.geometry.containment import find_in as find_places
    from lookalike.relate.probability.calibration_model import Calibration, default_geometry

    calibration, seen = Calibration(geometry=default_geometry()), 0
    for n, page in enumerate(pages, 1):
        try:
            picture = picture_of(str(page), side=None)
        except ImageError as error:
            if n == len(pages) and not seen:
                raise
            log(f"skipped {error}")
            continue
        seen += 1
        for place in find_places(wanted, picture, calibration):
            yield Found(str(page), str(page), how(place.match), place)


def _in_collection(wanted: "RGB", collection: str | None, limit: int) -> "list[Found]":
    from lookalike.relate import calibration_of
    from lookalike.relate.geometry.containment import find_in_collection
    from lookalike.search import open_collection

    # Not for reading only: features are found once, and kept.
    with open_collection(collection, create=False) as photos, ProgressLine("images") as progress:
        if len(photos) > limit:
            log(f"looking at {limit:,} of {len(photos):,} images, most alike first; --limit looks at more")
        return find_in_collection(photos, wanted, calibration_of(photos), limit=limit, progress=progress)


def _print(found: "Found", *, more: dict[str, Any], as_json: bool) -> None:
    if not as_json:
        print_row(f"{found.path}  {_told(found)}")
        return
    place = found.place
    low, high = place.outline.min(axis=0), place.outline.max(axis=0)
    print_json(
        more
        | {
            "how": found.how,
            "path": found.path,
            "box": _rounded((*low, *(high - low))),
            "outline": [_rounded(corner) for corner in place.outline],
            "share": round(place.share, 4),
            "turn": round(place.turn, 1),
            "scale": round(place.scale, 3),
            "mirrored": place.mirrored,
            "probability": round(place.probability, 4),
            "inliers": place.inliers,
        }
    )


def _told(found: "Found") -> str:
    """Where, how large, which turn, how sure, for a person."""
    from lookalike.relate.words.frame_changes import position_words

    place = found.place
    changes = [_where(found), f"scaled to {100 * place.scale:.0f} %", *position_words(place.match)]
    return f"{', '.join(changes)}  probability {100 * place.probability:.1f} %, {place.inliers} points"


def _where(found: "Found") -> str:
    from lookalike.relate.geometry.containment import part_shown

    match = found.place.match
    if found.how == "the same picture":
        return found.how
    if found.how == "holds":
        share = f"{100 * match.kept_first:.1f} % of it"
        return f"shows only a part of the picture, {share}, at {_box(part_shown(match))}"
    shared = "" if found.how == "inside" else "a part of the picture, "
    return f"{shared}at {_box(found.place.outline)}  {100 * match.kept_second:.1f} % of it"


def _box(outline: "NDArray[np.float64]") -> str:
    """x, y, width, height of what lies within the frame."""
    kept = outline.clip(0, 1)
    low, high = kept.min(axis=0), kept.max(axis=0)
    return ",".join(f"{v:g}" for v in _rounded((*low, *(high - low))))


def _rounded(values: Any) -> list[float]:
    return [round(float(v), 4) + 0.0 for v in values]  # + 0.0: no "-0"


def _plot(wanted: "RGB", name: str, found: "list[Found]", target: Path) -> None:
    """Draw the surest pictures that it was found in."""
    from lookalike.plot import Holder, places, save
    from lookalike.relate.compare import picture_of

    by_path: dict[str, list[Found]] = {}
    for one in sorted(found, key=lambda one: -one.place.probability):
        by_path.setdefault(one.path, []).append(one)
    holders = []
    for path, some in list(by_path.items())[:_DRAWN]:
        try:
            picture = picture_of(path, side=_SIDE)
        except ImageError as error:
            log(f"not drawn: {error}")
            continue
        holders.append(Holder(picture, path, "; ".join(map(_told, some)), [one.place.match for one in some]))
    if holders:
        count = "" if len(holders) == len(by_path) else f" ({len(holders)} of {len(by_path)} pictures, surest first)"
        log(f"drawn: {save(places(wanted, name, holders), target)}{count}")
