"""Original files of the collection, by id. Only images, as identified by their bytes, are displayed in a page."""

import hashlib
import os
from typing import TYPE_CHECKING

from lookalike.errors import ImageError, UnknownId
from lookalike.image import read, to_path
from lookalike.image.decoding.formats import sniff
from lookalike.image.sources.read import containing_file
from lookalike.image.sources.web import is_web

if TYPE_CHECKING:
    from lookalike.server.service.collection_service import CollectionService

# Formats that browsers display and that cannot contain scripts. Others are sent as a download.
DISPLAYABLE = {
    "JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif", "AVIF": "image/avif",
    "BMP": "image/bmp",
}  # fmt: skip


async def read_original(service: "CollectionService", image_id: str) -> bytes:
    """Return the bytes of an image's file. Raises UnknownId, without its path, if the file is unavailable."""
    photos, _ = service.current
    row = await service.row(image_id, ["path", "root", "sha256"])
    path, root = row.metadata.get("path"), str(row.metadata.get("root") or "")
    if not isinstance(path, str) or not path:
        raise UnknownId(f"{image_id[:200]!r} was added by upload; only its thumbnail is stored, not its file")
    if is_web(path):  # what a server reads from the web is for --fetch-urls alone
        raise UnknownId(f"the file of {image_id[:200]!r} is on the web; only its thumbnail is stored")
    if not await service.in_thread(lambda: _is_inside(path, root)):
        raise UnknownId(f"the file of {image_id[:200]!r} is a link to outside its folder; it is not shown")
    try:
        data = await service.in_thread(lambda: read(path, photos.limits))
    except ImageError:
        raise UnknownId(f"the file of {image_id[:200]!r} is unavailable at the moment; connect its drive") from None
    known = row.metadata.get("sha256")
    if known and hashlib.sha256(data).hexdigest() != known:
        raise UnknownId(f"the file of {image_id[:200]!r} has changed since it was indexed; index its folder again")
    return data


def _is_inside(path: str, root: str) -> bool:
    """Return whether the resolved path lies in the resolved root; without a root, whether the file is not a link."""
    file = containing_file(path)
    real = os.path.realpath(file)
    if root and os.path.isdir(to_path(root)):
        return os.path.commonpath([real, os.path.realpath(to_path(root))]) == os.path.realpath(to_path(root))
    return not os.path.islink(file)


def content_type(data: bytes) -> tuple[str, bool]:
    """Return the content type of a file's bytes, and whether a page can display it safely."""
    image_format = sniff(data)
    displayable = DISPLAYABLE.get(image_format.name if image_format else "")
    return (displayable, True) if displayable else ("application/octet-stream", False)
