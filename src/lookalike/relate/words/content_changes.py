"""Describe in words what differs between two images of one layout."""

from collections.abc import Sequence

from lookalike.relate.content.content import Content
from lookalike.relate.content.regions import Region

_MIN_PAGE_DRAWN = 0.5  # `Content.drawn` from which an image is called a page
_MIN_OTHER_COLORS = 25.0  # levels
_MIN_COUNTED = 4  # regions, from which their number is stated
_MAX_INVISIBLE = 0.08  # `Content.strongest` up to which no difference is visible


def variant_words(content: Content) -> list[str]:
    """Return what differs between two variants: places, colors, or what each of them carries."""
    words = _region_words(content)
    if content.recoloured > _MIN_OTHER_COLORS:
        words.append("other colours")
    return words or (["details differ"] if content.strongest > _MAX_INVISIBLE else [])


def slight_words(content: Content) -> list[str]:
    """Return where two copies without other changes are not quite the same."""
    if content.strongest <= _MAX_INVISIBLE:
        return []
    where = _positions(content.regions)
    return [f"small differences {where}" if where else "small differences"]


def position_name(box: tuple[float, float, float, float]) -> str:
    """Return where in an image the center of a box in fractions lies."""
    x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
    down = "top" if y < 1 / 3 else "bottom" if y > 2 / 3 else ""
    across = "left" if x < 1 / 3 else "right" if x > 2 / 3 else ""
    if box[2] > 0.6:
        across = ""
    if not (down or across):
        return "in the middle"
    return "at the " + " ".join(part for part in (down, across) if part)


def _region_words(content: Content) -> list[str]:
    if not content.regions:
        return ["the contents differ throughout"] if content.unrelated else []
    _, added, removed = content.areas
    if content.drawn < _MIN_PAGE_DRAWN and added and removed:
        return [f"each carries something of its own {_positions(content.regions)}"]
    what = "text or figures differ" if content.drawn >= _MIN_PAGE_DRAWN else "something else is shown"
    if len(content.regions) >= _MIN_COUNTED:
        return [f"{what} in {len(content.regions)} places or more"]
    return [f"{what} {_positions(content.regions)}"]


def _positions(regions: Sequence[Region]) -> str:
    return " and ".join(dict.fromkeys(position_name(region.box) for region in regions[:3]))
