"""Regions of an image: x, y, width and height as fractions of the upright image."""

from typing import TypeAlias

from lookalike.errors import BadQuery

Region: TypeAlias = tuple[float, float, float, float]
"""x, y, width, height, each from 0 to 1."""


def check_region(region: Region) -> None:
    """Raise BadQuery unless the region is four numbers, has a positive size and is inside the image."""
    try:
        x, y, width, height = (float(value) for value in region)
    except (TypeError, ValueError):
        raise BadQuery(
            f"the region {region!r} is not four numbers; give (x, y, width, height), such as (0.2, 0.1, 0.5, 0.6)"
        ) from None
    inside = 0 <= x < 1 and 0 <= y < 1 and width > 0 and height > 0 and x + width <= 1 + 1e-6 and y + height <= 1 + 1e-6
    if not inside:
        raise BadQuery(
            f"the region {x:g},{y:g},{width:g},{height:g} is not inside the image; "
            "give x,y,width,height as fractions between 0 and 1"
        )


def parse_region(text: str) -> Region:
    """Parse a region written as "x,y,width,height". Raises BadQuery."""
    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError:
        raise BadQuery(
            f"the region {text[:60]!r} is not four numbers; write x,y,width,height, such as 0.2,0.1,0.5,0.6"
        ) from None
    check_region((x, y, width, height))
    return x, y, width, height
