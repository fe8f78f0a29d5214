"""Colour profiles: what is not sRGB already is turned into it, by lcms through Pillow."""

import hashlib
import io
import threading
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from lookalike.types import RGB

if TYPE_CHECKING:
    from PIL import Image, ImageCms

NEARLY_SRGB = 3  # levels of 255: profiles that differ less are sRGB under another name, and skipped
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def to_srgb(image: RGB, icc: bytes | None) -> RGB:
    """The picture in sRGB. No profile, a broken one, or one that is sRGB in all but name: the same picture."""
    if not icc:
        return image
    found = _conversion(icc)
    if found is None or found[0] == "CMYK":
        return image
    mode, transform = found
    from PIL import Image, ImageCms

    # A grey picture has become RGB with three equal channels: its grey profile wants one of them.
    source = Image.fromarray(image if mode == "RGB" else np.ascontiguousarray(image[:, :, 0]))
    return np.asarray(ImageCms.applyTransform(source, transform), np.uint8)


def cmyk_to_rgb(image: "Image.Image", icc: bytes | None) -> "Image.Image":
    """A Pillow picture of mode CMYK as sRGB: by its profile, else by the plain formula."""
    found = _conversion(icc) if icc else None
    if found is not None and found[0] == "CMYK":
        from PIL import ImageCms

        converted = ImageCms.applyTransform(image, found[1])
        assert converted is not None  # only an in-place conversion returns nothing
        return converted
    return image.convert("RGB")


def lab_to_rgb(image: "Image.Image") -> "Image.Image":
    """A Pillow picture of mode LAB as sRGB."""
    from PIL import ImageCms

    converted = ImageCms.applyTransform(image, _lab())
    assert converted is not None
    return converted


@lru_cache(maxsize=1)
def _lab() -> "ImageCms.ImageCmsTransform":
    from PIL import ImageCms

    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")


def _conversion(icc: bytes) -> "tuple[str, ImageCms.ImageCmsTransform] | None":
    """(Pillow mode, transform to sRGB) of a profile; None when it changes nothing or cannot be used."""
    key = hashlib.sha256(icc).digest()
    with _lock:
        if key in _known:
            _known.move_to_end(key)
            return _known[key]
    found = _made(icc) if len(icc) <= _MAX_PROFILE else None
    with _lock:
        _known[key] = found
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    return found


# By what the bytes hash to: a library has a dozen profiles, and hostile ones of megabytes are not kept.
_known: "OrderedDict[bytes, tuple[str, ImageCms.ImageCmsTransform] | None]" = OrderedDict()
_lock = threading.Lock()
_KEPT = 16
_MAX_PROFILE = 4 * 2**20  # bytes; the largest of printers have two


def _made(icc: bytes) -> "tuple[str, ImageCms.ImageCmsTransform] | None":
    from PIL import ImageCms

    try:
        profile = ImageCms.getOpenProfile(io.BytesIO(icc))
        mode = _SPACES[profile.profile.xcolor_space.strip()]
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
    except Exception:  # a broken profile is no reason to lose the picture
        return None
    return None if mode != "CMYK" and _changes_nothing(mode, transform) else (mode, transform)


def _changes_nothing(mode: str, transform: "ImageCms.ImageCmsTransform") -> bool:
    """Judged by what it does to a grid of colours: names and descriptions of profiles are not to be trusted."""
    from PIL import Image, ImageCms

    steps = np.linspace(0, 255, 9).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    before = grid if mode == "RGB" else np.ascontiguousarray(np.broadcast_to(grid[:, :, :1], grid.shape))
    source = Image.fromarray(before if mode == "RGB" else np.ascontiguousarray(before[:, :, 0]))
    after = np.asarray(ImageCms.applyTransform(source, transform))
    return int(np.abs(after.astype(int) - before).max()) <= NEARLY_SRGB
