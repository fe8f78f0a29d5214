"""How verbs write where one image lies in another: one line, one JSON object, a figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.cli.output import log
from lookalike.errors import ImageError
from lookalike.text import counted, percent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lookalike.relate.geometry.containment import Containment
    from lookalike.types import RGB

_MIN_FIGURE_SIDE = 512  # pixels of the short side that a figure needs
_MAX_DRAWN = 8  # images in one figure


def containment_json(containment: "Containment") -> dict[str, Any]:
    """Return what --json prints of a containment, besides the image's id."""
    from lookalike.relate.facts import containment_facts

    old_name = {"how": containment.kind.replace("image", "picture")}
    return {"kind": containment.kind} | old_name | {"path": containment.path} | containment_facts(containment)


def containment_words(containment: "Containment") -> str:
    """Describe for a person where, how large, how rotated and how sure."""
    from lookalike.relate.words.frame_changes import orientation_changes
    from lookalike.relate.words.sentences import phrases
    from lookalike.types import Relation

    location = containment.location
    orientation = phrases(orientation_changes(location.match))
    changes = [_where(containment), f"scaled to {percent(location.scale, 0)}", *orientation]
    points = counted(location.inliers, "matching point")
    relation = "" if location.relation >= Relation.COPY else "the same object, "
    return f"{', '.join(changes)}; {relation}probability {percent(location.probability)}; {points}"


def _where(containment: "Containment") -> str:
    from lookalike.relate.geometry.transform import UNIT_SQUARE, intersection_area

    in_query, in_stored = containment.location.shared
    if containment.kind == "the same image":
        return containment.kind
    if containment.kind == "holds":
        share = percent(intersection_area(in_query, UNIT_SQUARE))
        return f"shows only part of the image, {share} of it, at {_box(in_query)}"
    shared = "" if containment.kind == "inside" else "part of the image, "
    share = percent(intersection_area(in_stored, UNIT_SQUARE))
    return f"{shared}at {_box(in_stored)} ({share} of its area)"


def _box(outline: "NDArray[np.float64]") -> str:
    """Format x, y, width, height of what lies within the frame."""
    from lookalike.relate.facts import rounded

    clipped = outline.clip(0, 1)
    low, high = clipped.min(axis=0), clipped.max(axis=0)
    return ",".join(f"{v:g}" for v in rounded((*low, *(high - low))))


def draw_containments(query_image: "RGB", name: str, containments: "Sequence[Containment]", target: Path) -> None:
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
        words = "; ".join(map(containment_words, in_image))
        holders.append(Holder(image, path, words, [one.location for one in in_image]))
    if holders:
        count = "" if len(holders) == len(by_path) else f" ({len(holders)} of {len(by_path)} images, surest first)"
        log(f"drawn: {save(containment_rows(query_image, name, holders), target)}{count}")
