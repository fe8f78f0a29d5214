"""What differs between two pictures that are laid out alike, in words."""

from collections.abc import Sequence

from lookalike.relate.content.content import Content
from lookalike.relate.content.regions import Region

_PAGE = 0.5  # `Content.drawn` from which a picture is called a page
_OTHER_COLOURS = 25.0  # levels
_MANY = 4  # places, from which their number is told
_SLIGHT = 0.08  # `Content.strongest` below which nothing differs that could be seen


def variant_words(content: Content) -> list[str]:
    """What differs between two variants: places, colours, or what each of them carries."""
    words = _place_words(content)
    if content.recoloured > _OTHER_COLOURS:
        words.append("other colours")
    return words or (["details differ"] if content.strongest > _SLIGHT else [])


def slight_words(content: Content) -> list[str]:
    """For copies in which nothing else was found: where they are not quite the same."""
    if content.strongest <= _SLIGHT:
        return []
    where = _places(content.regions)
    return [f"small differences {where}" if where else "small differences"]


def place_of(box: tuple[float, float, float, float]) -> str:
    """Where in a picture the middle of a box in shares lies."""
    x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
    down = "top" if y < 1 / 3 else "bottom" if y > 2 / 3 else ""
    across = "left" if x < 1 / 3 else "right" if x > 2 / 3 else ""
    if box[2] > 0.6:
        across = ""
    if not (down or across):
        return "in the middle"
    return "at the " + " ".join(part for part in (down, across) if part)


def _place_words(content: Content) -> list[str]:
    if not content.regions:
        return ["the contents differ throughout"] if content.strange else []
    _, added, removed = content.areas
    if content.drawn < _PAGE and added and removed:
        return [f"each carries something of its own {_places(content.regions)}"]
    what = "text or figures differ" if content.drawn >= _PAGE else "something else is shown"
    if len(content.regions) >= _MANY:
        return [f"{what} in {len(content.regions)} places or more"]
    return [f"{what} {_places(content.regions)}"]


def _places(regions: Sequence[Region]) -> str:
    return " and ".join(dict.fromkeys(place_of(region.box) for region in regions[:3]))
