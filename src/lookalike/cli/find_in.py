"""lookalike find-in: find an image inside others, or inside those of a collection: where, how large, how rotated."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.options import CollectionOption, JsonOption, open_to_read
from lookalike.cli.output import ProgressLine, log, print_json, print_row
from lookalike.cli.output_files import FIGURE
from lookalike.errors import ImageError
from lookalike.text import counted, percent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lookalike.relate.geometry.containment import Containment
    from lookalike.types import RGB


_MIN_FIGURE_SIDE = 512  # pixels of the short side that a figure needs
_MAX_DRAWN = 8  # images in one figure


def find_in(
    query: Annotated[Path, typer.Argument(metavar="QUERY", help="The image to find.")],
    inside: Annotated[
        list[Path] | None,
        typer.Option(metavar="PAGE", help="The larger image; may be repeated. Without it: a whole collection."),
    ] = None,
    collection: CollectionOption = None,
    limit: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="In a collection: the number of images to verify, most similar first."),
    ] = 1000,
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
        _print(containment, more={} if inside else {"id": containment.id}, as_json=json)
        containments.append(containment)
    if not containments:
        log("no match: the image was not found" + (" the collection" if not inside else ""))
    elif plot:
        _plot(query_image, str(query), containments, plot)


def _in_pages(query_image: "RGB", pages: list[Path]) -> "Iterator[Containment]":
    """Yield the locations in each page. Unreadable pages are reported and skipped; raises ImageError if all are."""
    from lookalike.relate.compare import read_rgb
    from lookalike.relate.geometry.containment import Containment, containment_kind
    from lookalike.relate.geometry.containment import find_in as find_locations
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


def _in_collection(query_image: "RGB", collection: str | None, limit: int) -> "list[Containment]":
    from lookalike.relate import calibration_of
    from lookalike.relate.geometry.containment import find_in_collection

    with open_to_read(collection) as photos, ProgressLine("images") as progress:
        if len(photos) > limit:
            log(f"verifying {limit:,} of {len(photos):,} images, most similar first; --limit verifies more")
        return find_in_collection(photos, query_image, calibration_of(photos), limit=limit, progress=progress)


def _print(containment: "Containment", *, more: dict[str, Any], as_json: bool) -> None:
    if not as_json:
        print_row(f"{containment.path}  {_description(containment)}")
        return
    location = containment.location
    low, high = location.outline.min(axis=0), location.outline.max(axis=0)
    print_json(
        more
        | {
            "kind": containment.kind,
            "how": containment.kind.replace("image", "picture"),  # the old name
            "path": containment.path,
            "box": _rounded((*low, *(high - low))),
            "outline": [_rounded(corner) for corner in location.outline],
            "share": round(location.share, 4),
            "turn": round(location.turn, 1),
            "scale": round(location.scale, 3),
            "mirrored": location.mirrored,
            "probability": round(location.probability, 4),
            "inliers": location.inliers,
        }
    )


def _description(containment: "Containment") -> str:
    """Describe for a person where, how large, how rotated and how sure."""
    from lookalike.relate.words.frame_changes import orientation_changes
    from lookalike.relate.words.sentences import phrases

    location = containment.location
    orientation = phrases(orientation_changes(location.match))
    changes = [_where(containment), f"scaled to {percent(location.scale, 0)}", *orientation]
    points = counted(location.inliers, "matching point")
    return f"{', '.join(changes)}; probability {percent(location.probability)}; {points}"


def _where(containment: "Containment") -> str:
    from lookalike.relate.geometry.containment import part_shown

    match = containment.location.match
    if containment.kind == "the same image":
        return containment.kind
    if containment.kind == "holds":
        share = f"{percent(match.kept_first)} of it"
        return f"shows only part of the image, {share}, at {_box(part_shown(match))}"
    shared = "" if containment.kind == "inside" else "part of the image, "
    return f"{shared}at {_box(containment.location.outline)} ({percent(match.kept_second)} of its area)"


def _box(outline: "NDArray[np.float64]") -> str:
    """Format x, y, width, height of what lies within the frame."""
    clipped = outline.clip(0, 1)
    low, high = clipped.min(axis=0), clipped.max(axis=0)
    return ",".join(f"{v:g}" for v in _rounded((*low, *(high - low))))


def _rounded(values: Any) -> list[float]:
    return [round(float(v), 4) + 0.0 for v in values]  # + 0.0: no "-0"


def _plot(query_image: "RGB", name: str, containments: "list[Containment]", target: Path) -> None:
    """Draw the surest images that contain it."""
    from lookalike.plot import Holder, containment_rows, save
    from lookalike.relate.compare import read_rgb

    by_path: dict[str, list[Containment]] = {}
    for one in sorted(containments, key=lambda containment: -containment.location.probability):
        by_path.setdefault(one.path, []).append(one)
    holders = []
    for path, in_image in list(by_path.items())[:_MAX_DRAWN]:
        try:
            image = read_rgb(path, side=_MIN_FIGURE_SIDE)
        except ImageError as error:
            log(f"not drawn: {error}")
            continue
        words = "; ".join(map(_description, in_image))
        holders.append(Holder(image, path, words, [one.location.match for one in in_image]))
    if holders:
        count = "" if len(holders) == len(by_path) else f" ({len(holders)} of {len(by_path)} images, surest first)"
        log(f"drawn: {save(containment_rows(query_image, name, holders), target)}{count}")
