"""Files of the collection, by id only. What goes out is a picture by its own bytes, or it is not shown in a page."""

from typing import TYPE_CHECKING

from lookalike.errors import ImageError, UnknownId
from lookalike.image import read
from lookalike.image.formats import sniff

if TYPE_CHECKING:
    from lookalike.server.desk import Desk

# Formats that browsers draw and that cannot hold a script. All else is handed over as a download.
SHOWN = {
    "JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif", "AVIF": "image/avif",
    "BMP": "image/bmp",
}  # fmt: skip


async def original(desk: "Desk", image_id: str) -> bytes:
    """The bytes of an image's file. Raises UnknownId when the file is not at hand, without telling where it was."""
    photos, _ = desk.at_hand
    row = await desk.row(image_id, ["path"])
    path = row.metadata.get("path")
    if not isinstance(path, str) or not path:
        raise UnknownId(f"the file of {image_id[:200]!r} is not kept, only its thumbnail; it was added by upload")
    try:
        return await desk.in_thread(lambda: read(path, photos.limits))
    except ImageError:
        raise UnknownId(f"the file of {image_id[:200]!r} is not at hand at the moment; plug its drive in") from None


def kind_of(data: bytes) -> tuple[str, bool]:
    """The content type of a file's bytes, and whether a page may show it."""
    known = sniff(data)
    shown = SHOWN.get(known.name if known else "")
    return (shown, True) if shown else ("application/octet-stream", False)
