"""Files of the collection, by id only. What goes out is a picture by its own bytes, or it is not shown in a page."""

import hashlib
import os
from typing import TYPE_CHECKING

from lookalike.errors import ImageError, UnknownId
from lookalike.image import read, to_path
from lookalike.image.decoding.formats import sniff
from lookalike.image.sources.read import containing_file

if TYPE_CHECKING:
    from lookalike.server.service.collection_service import Desk

# Formats that browsers draw and that cannot hold a script. All else is handed over as a download.
SHOWN = {
    "JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif", "AVIF": "image/avif",
    "BMP": "image/bmp",
}  # fmt: skip


async def original(desk: "Desk", image_id: str) -> bytes:
    """The bytes of an image's file. Raises UnknownId when the file is not at hand, without telling where it was."""
    photos, _ = desk.at_hand
    row = await desk.row(image_id, ["path", "root", "sha256"])
    path, root = row.metadata.get("path"), str(row.metadata.get("root") or "")
    if not isinstance(path, str) or not path:
        raise UnknownId(f"the file of {image_id[:200]!r} is not kept, only its thumbnail; it was added by upload")
    if not await desk.in_thread(lambda: _is_inside(path, root)):
        raise UnknownId(f"the file of {image_id[:200]!r} is a link that leads out of its folder; it is not shown")
    try:
        data = await desk.in_thread(lambda: read(path, photos.limits))
    except ImageError:
        raise UnknownId(f"the file of {image_id[:200]!r} is not at hand at the moment; plug its drive in") from None
    known = row.metadata.get("sha256")
    if known and hashlib.sha256(data).hexdigest() != known:
        raise UnknownId(f"the file of {image_id[:200]!r} is no longer the one that was indexed; index its folder again")
    return data


def _is_inside(path: str, root: str) -> bool:
    """Whether a file lies in the folder it was found in once all links are followed; one named by itself is no link."""
    place = containing_file(path)
    real = os.path.realpath(place)
    if root and os.path.isdir(to_path(root)):
        return os.path.commonpath([real, os.path.realpath(to_path(root))]) == os.path.realpath(to_path(root))
    return not os.path.islink(place)


def kind_of(data: bytes) -> tuple[str, bool]:
    """The content type of a file's bytes, and whether a page may show it."""
    known = sniff(data)
    shown = SHOWN.get(known.name if known else "")
    return (shown, True) if shown else ("application/octet-stream", False)
