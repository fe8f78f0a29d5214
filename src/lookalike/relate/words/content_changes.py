"""Determine what differs between two images of one layout."""

from collections.abc import Sequence

from lookalike.relate.content.content import Content
from lookalike.relate.content.regions import Region
from lookalike.relate.words.sentences import LIST_SEPARATOR
from lookalike.types import Change, ChangeKind

_MIN_PAGE_DRAWN = 0.5  # `Content.drawn` from which an image is called a page
_MIN_OTHER_COLORS = 25.0  # levels
_MIN_COUNTED = 4  # regions, from which they are counted instead of located
_MAX_INVISIBLE = 0.08  # `Content.strongest` up to which no difference is visible


def variant_changes(content: Content) -> list[Change]:
    """Return what differs between two variants: places, colors, or what each of them carries."""
    changes = _region_changes(content)
    if content.recolored > _MIN_OTHER_COLORS:
        changes.append(Change(ChangeKind.OTHER_COLORS, {"levels": float(content.recolored)}))
    return changes or ([Change(ChangeKind.DETAILS_DIFFER)] if content.strongest > _MAX_INVISIBLE else [])


def slight_changes(content: Content) -> list[Change]:
    """Return where two copies without other changes are not quite the same."""
    if content.strongest <= _MAX_INVISIBLE:
        return []
    return [Change(ChangeKind.SMALL_DIFFERENCES, _positions(content.regions))]


def position_of(box: tuple[float, float, float, float]) -> str:
    """Return where in an image the center of a box in fractions lies: "middle", "top", "bottom left"."""
    x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
    down = "top" if y < 1 / 3 else "bottom" if y > 2 / 3 else ""
    across = "left" if x < 1 / 3 else "right" if x > 2 / 3 else ""
    if box[2] > 0.6:
        across = ""
    return " ".join(part for part in (down, across) if part) or "middle"


def _region_changes(content: Content) -> list[Change]:
    if not content.regions:
        return [Change(ChangeKind.ALL_DIFFERS)] if content.unrelated else []
    _, added, removed = content.areas
    positions = _positions(content.regions)
    if content.drawn < _MIN_PAGE_DRAWN and added and removed:
        return [Change(ChangeKind.BOTH_ADDED, positions)]
    kind = ChangeKind.TEXT_DIFFERS if content.drawn >= _MIN_PAGE_DRAWN else ChangeKind.CONTENT_DIFFERS
    counted = len(content.regions) >= _MIN_COUNTED
    return [Change(kind, {"count": float(len(content.regions))} if counted else positions)]


def _positions(regions: Sequence[Region]) -> dict[str, float | str]:
    """Return the positions of the first three regions as the value of a change; nothing if there are no regions."""
    positions = dict.fromkeys(position_of(region.box) for region in regions[:3])
    return {"positions": LIST_SEPARATOR.join(positions)} if positions else {}
